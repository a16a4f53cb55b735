package inspect

import (
	"time"

	"interlock/stress/internal/report"
)

// SchemaVersion changes when a field of the document changes its meaning or goes away.
const SchemaVersion = 1

// A Document is what -json prints: a scene, and when it was.
type Document struct {
	SchemaVersion int         `json:"schema_version"`
	Time          time.Time   `json:"time"`
	Code          report.Code `json:"code"`
	Verdict       string      `json:"verdict"`
	*Scene
}

// NewDocument is the document of a scene.
func NewDocument(s *Scene) *Document {
	return &Document{SchemaVersion, time.Now().UTC().Round(0), Code(s), Verdict(s), s}
}
