package bench

import (
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is what a reader needs to know about the machine.
type Host struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	CPU     string `json:"cpu"`
	CPUs    int    `json:"cpus"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
	Libc    string `json:"libc"`
	Virtual string `json:"virtual,omitempty"`
}

// ThisHost describes this machine.
func ThisHost() Host {
	h := Host{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown", Kernel: "unknown", Libc: "unknown"}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	text, _ := os.ReadFile("/proc/cpuinfo")
	for _, l := range strings.Split(string(text), "\n") {
		name, value, _ := strings.Cut(l, ":")
		switch strings.TrimSpace(name) {
		case "model name":
			h.CPU = strings.TrimSpace(value)
		case "flags":
			if strings.Contains(value, " hypervisor") {
				h.Virtual = "virtual machine"
			}
		}
	}
	if out, err := exec.Command("getconf", "GNU_LIBC_VERSION").Output(); err == nil {
		h.Libc = strings.TrimSpace(string(out))
	}
	return h
}
