// Package web shows the lab in a browser: "stress demo -web".
//
//	serve.go   who is let in, and when it ends
//	hub.go     the lab, and the pages that look at it
//	page/      the page: one HTML, one script, one style sheet, as they are
//
// Every click moves a real process, so the server is for the user of this machine alone:
// it listens on a loopback address, under a path with a random token, and answers only
// if it is called by that address. (Else any page in the same browser could move them, by
// a name that it lets resolve to 127.0.0.1.)
package web
