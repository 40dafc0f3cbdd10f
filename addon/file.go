package addon

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// The files as the schemas in schema/ describe them.

type addonFile struct {
	Name        string `json:"name"`
	Title       string `json:"title"`
	Description string `json:"description"`
	Versions    []struct {
		Name    string            `json:"name"`
		Default bool              `json:"default"`
		Images  map[string]string `json:"images"`
	} `json:"versions"`
	Topologies []struct {
		Name        string `json:"name"`
		Description string `json:"description"`
		Components  []struct {
			Name      string `json:"name"`
			Component string `json:"component"`
			Replicas  struct {
				Min int `json:"min"`
				Max int `json:"max"`
			} `json:"replicas"`
		} `json:"components"`
	} `json:"topologies"`
}

type componentFile struct {
	Image   string   `json:"image"`
	Command []string `json:"command"`
	Ports   []struct {
		Name string `json:"name"`
		Port int    `json:"port"`
	} `json:"ports"`
	Volumes []struct {
		Name string `json:"name"`
		Path string `json:"path"`
	} `json:"volumes"`
	Roles []struct {
		Name     string `json:"name"`
		Writable bool   `json:"writable"`
	} `json:"roles"`
	HA   string `json:"ha"`
	Stop struct {
		Signal string   `json:"signal"`
		Grace  duration `json:"grace"`
	} `json:"stop"`
	Accounts []struct {
		Name  string `json:"name"`
		User  string `json:"user"`
		Admin bool   `json:"admin"`
	} `json:"accounts"`
	Configs []struct {
		Path     string `json:"path"`
		Template string `json:"template"`
	} `json:"configs"`
	Actions map[string]struct {
		In      string   `json:"in"`
		Script  string   `json:"script"`
		Timeout duration `json:"timeout"`
	} `json:"actions"`
	Defaults struct {
		CPU     float64 `json:"cpu"`
		Memory  size    `json:"memory"`
		Storage size    `json:"storage"`
	} `json:"defaults"`
	URL    string `json:"url"`
	Client struct {
		Command []string          `json:"command"`
		Env     map[string]string `json:"env"`
		Package string            `json:"package"`
	} `json:"client"`
}

type parameterFile struct {
	Doc        string          `json:"doc"`
	Type       string          `json:"type"`
	Unit       string          `json:"unit"`
	Default    json.RawMessage `json:"default"`
	AtMost     celFile         `json:"at_most"`
	Apply      string          `json:"apply"`
	Minimum    json.RawMessage `json:"minimum"`
	Maximum    json.RawMessage `json:"maximum"`
	MultipleOf json.RawMessage `json:"multipleOf"`
	Enum       json.RawMessage `json:"enum"`
	Pattern    string          `json:"pattern"`
	MinLength  *int            `json:"minLength"`
	MaxLength  *int            `json:"maxLength"`
}

type celFile struct {
	CEL string `json:"cel"`
}

type conformanceFile struct {
	Component string   `json:"component"`
	Prepare   []string `json:"prepare"`
	Write     []string `json:"write"`
	Read      []string `json:"read"`
	Count     []string `json:"count"`
}

// duration is written as in "30s".
type duration time.Duration

// UnmarshalJSON reads a text such as "10m".
func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = duration(parsed)
	return err
}

// size is written as in "512Mi".
type size int64

// UnmarshalJSON reads a text such as "2Gi".
func (s *size) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	number := strings.TrimRight(text, "KMGTi")
	n, err := strconv.ParseInt(number, 10, 64)
	*s = size(n * byteUnits[strings.ToLower(text[len(number):])])
	return err
}
