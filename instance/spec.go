package instance

// Spec is what an instance is made of, as the agent needs it. It holds names
// of secrets, never their values.
type Spec struct {
	Image   string            `json:"image"` // deb:… or file:…
	Command []string          `json:"command"`
	Env     map[string]string `json:"env,omitempty"`
	Files   []File            `json:"files,omitempty"`
	Secrets []string          `json:"secrets,omitempty"` // each becomes the file /secrets/NAME, on tmpfs, mode 0400; NAME is the last element
	Volumes []Mount           `json:"volumes,omitempty"`
	Ports   []Port            `json:"ports,omitempty"`
	Limits  Limits            `json:"limits"`
	Stop    Stop              `json:"stop"`
	Probe   *Probe            `json:"probe,omitempty"`
}

// File is a read-only file in the container, under /config or /scripts.
type File struct {
	Path    string `json:"path"`
	Mode    uint32 `json:"mode"` // 0444 or 0555
	Content string `json:"content"`
}

// Mount is a volume of its own for the instance.
type Mount struct {
	Name  string `json:"name"`
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
}

// Port is a TCP port that the program listens on.
type Port struct {
	Name string `json:"name"`
	Port int    `json:"port"`
}

// Limits are enforced by the machine's kernel.
type Limits struct {
	CPUMillis   int64 `json:"cpu_millis"` // thousandths of a CPU
	MemoryBytes int64 `json:"memory_bytes"`
	Pids        int64 `json:"pids"`
}

// Stop is how the program is asked to end.
type Stop struct {
	Signal       string `json:"signal"` // "SIGINT"; empty is SIGTERM
	GraceSeconds int    `json:"grace_seconds"`
}

// Probe is a program run on in the instance; each line it prints is a
// [Health] as JSON.
type Probe struct {
	Command []string `json:"command"`
}

// Health is what a probe says.
type Health struct {
	Ready    bool    `json:"ready"`
	Role     string  `json:"role"`
	History  string  `json:"history,omitempty"`
	Position []int64 `json:"position,omitempty"`
	LagBytes *int64  `json:"lag_bytes,omitempty"`
	LagMS    *int64  `json:"lag_ms,omitempty"`
	Message  string  `json:"message,omitempty"`
}
