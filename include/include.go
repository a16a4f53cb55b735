// Package include is interlock.h: the C and C++ side of the mutexes, condition
// variables, seqlocks and segments that Go programs share. C programs copy the file;
// Go programs that build a C program find its text here.
package include

import _ "embed"

// Header is the text of interlock.h.
//
//go:embed interlock.h
var Header string
