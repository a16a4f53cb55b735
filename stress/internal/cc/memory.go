package cc

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/leftover"
)

// InMemory builds a C program from files, by their names, and keeps it in memory, so that
// nothing stays behind. It is run as /proc/PID/fd/N.
func InMemory(name string, files map[string]string, args ...string) (*os.File, error) {
	dir, err := leftover.MakeDir(leftover.Peer)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for file, text := range files {
		path := filepath.Join(dir, file)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return nil, err
		}
		if filepath.Ext(file) == ".c" {
			args = append([]string{path}, args...)
		}
	}
	program := filepath.Join(dir, "program")
	if err := Build(context.Background(), program, append([]string{"-std=c11", "-D_GNU_SOURCE", "-Wextra", "-Werror"}, args...)...); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	return executable("interlock-stress-"+name, text)
}

// executable is a file without a name. It must be open for reading only when it is run.
func executable(name string, text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	if _, err := f.Write(text); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
}

// Offsets adds the offsets of fields of T, by the names that C gives them.
func Offsets[T any](to map[string]uintptr, names map[string]string) {
	for name, field := range names {
		f, ok := reflect.TypeFor[T]().FieldByName(field)
		if !ok {
			panic("cc: no field " + field)
		}
		to[name] = f.Offset
	}
}

// Defines tells them to the compiler.
func Defines(values map[string]uintptr) (flags []string) {
	for name, v := range values {
		flags = append(flags, fmt.Sprintf("-D%s=%d", name, v))
	}
	return flags
}
