package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// SchemaVersion changes when a field changes its meaning or goes away.
const SchemaVersion = 1

// Host is what a reader needs to know about the machine.
type Host struct {
	OS     string `json:"os"`
	Arch   string `json:"arch"`
	Kernel string `json:"kernel"`
	CPUs   int    `json:"cpus"`
	Go     string `json:"go"`
}

// Document is the file that -json writes.
type Document struct {
	SchemaVersion int       `json:"schema_version"`
	Time          time.Time `json:"time"`
	Host          Host      `json:"host"`
	Seed          string    `json:"seed"`
	Args          []string  `json:"args"`
	Code          Code      `json:"code"`
	Results       []*Result `json:"results"`
}

// NewDocument describes a run on this machine.
func NewDocument(seed uint64, args []string, code Code, results []*Result) *Document {
	return &Document{
		SchemaVersion: SchemaVersion,
		Time:          time.Now().UTC().Round(0),
		Host: Host{
			OS: runtime.GOOS, Arch: runtime.GOARCH, Kernel: kernel(),
			CPUs: runtime.NumCPU(), Go: runtime.Version(),
		},
		Seed:    fmt.Sprintf("%#x", seed),
		Args:    args,
		Code:    code,
		Results: results,
	}
}

// Write writes the document to path, or to out when path is "-".
func (d *Document) Write(path string, out io.Writer) error {
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if path == "-" {
		_, err = out.Write(text)
		return err
	}
	return os.WriteFile(path, text, 0o644)
}

func kernel() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
