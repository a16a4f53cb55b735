// Package strange holds tests of what concerns all packages together, in places where
// no honest program would be: it has no code of its own.
package strange
