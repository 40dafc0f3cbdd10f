// Package machine owns the machines of the computer and the images on them:
// the tables machines, images and image_packages.
package machine

import (
	"time"

	"github.com/volvox-os/volvox"
)

// Machine is one row of the table machines.
type Machine struct {
	Name        string       `json:"name"`
	ID          volvox.ID    `json:"id"`
	Phase       volvox.Phase `json:"phase"`
	Address     string       `json:"address"`
	Range       string       `json:"range"` // the network of its instances, "100.66.0.0/16"
	Arch        string       `json:"arch"`
	Kernel      string       `json:"kernel"`
	OS          string       `json:"os"`
	CPUMillis   int64        `json:"cpu_millis"`
	MemoryBytes int64        `json:"memory_bytes"`
	DiskBytes   int64        `json:"disk_bytes"` // free for volumes when it was registered, plus what volumes reserve
	Version     string       `json:"version"`    // of its agent
	BootID      string       `json:"boot_id"`
	Message     string       `json:"message"`
	JoinedAt    time.Time    `json:"joined_at"`
	BootedAt    time.Time    `json:"booted_at"` // of the agent
}

// Image is one row of the table images, with its rows of image_packages.
type Image struct {
	Machine   string    `json:"machine"`
	Ref       string    `json:"ref"`
	Digest    string    `json:"digest"`
	Bytes     int64     `json:"bytes"`
	Packages  []Package `json:"packages,omitempty"`
	FetchedAt time.Time `json:"fetched_at"`
	Gone      bool      `json:"gone,omitempty"` // it was removed from the machine
}

// Package is a Debian package in an image.
type Package struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
}
