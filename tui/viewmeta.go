package tui

import (
	"strings"

	"snapcase/evidence"
	"snapcase/evidence/visible"
	"snapcase/tui/widget"
)

// meta is every field of the entry, with all its times.
func (v *viewer) meta(w int) []widget.Line {
	e, n := v.entry, widget.Normal
	if e == nil {
		if v.src != nil {
			return []widget.Line{field(visible.Lit("image"), n, esc(v.addr)), field(visible.Lit("size"), n, visible.Sprintf("%s bytes", count(v.src.Size())))}
		}
		return nil
	}
	status := n
	if e.Status != "allocated" {
		status = widget.Deleted
	}
	l := fields(w, visible.Lit("path"), n, visible.Escape(rawPath(*e)))
	l = append(l,
		field(visible.Lit("status"), status, visible.Sprintf("%s   %s   %s", e.Status, e.Type, esc(e.From))),
		field(visible.Lit("size"), n, visible.Sprintf("%s bytes   mode %s   uid %d   gid %d   links %d", count(e.Size), e.Mode, e.UID, e.GID, e.Links)),
		field(visible.Lit("inode"), n, visible.Sprintf("%d generation %d", e.Inode, e.Generation)),
		field(visible.Lit("modified"), n, clockFull(e.Modified)), field(visible.Lit("accessed"), n, clockFull(e.Accessed)),
		field(visible.Lit("changed"), n, clockFull(e.Changed)), field(visible.Lit("born"), n, clockFull(e.Born)),
	)
	if e.DeletedAt.Set {
		l = append(l, field(visible.Lit("deleted"), widget.Deleted, clockFull(e.DeletedAt)))
	}
	if e.Link != nil {
		link := *e.Link
		if e.LinkB64 != nil {
			link = string(e.LinkB64)
		}
		l = append(l, field(visible.Lit("link to"), n, visible.Escape(link)))
	}
	if e.Damage != nil {
		l = append(l, fields(w, visible.Lit("damage"), widget.Warn, visible.Sprintf("! %s", *e.Damage))...)
	}
	if e.SHA256 != "" {
		l = append(l, field(visible.Lit("SHA-256"), n, visible.Escape(e.SHA256)))
	}
	for i := range e.FileNames {
		f := &e.FileNames[i]
		l = append(l, fields(w, visible.Lit("$FILE_NAME"), n, visible.Sprintf("%s   modified %s   accessed %s   changed %s   born %s", f.Name, clockFull(f.Modified), clockFull(f.Accessed), clockFull(f.Changed), clockFull(f.Born)))...)
	}
	for i := range e.Attributes {
		l = append(l, fields(w, visible.Lit("attribute"), n, extended(&e.Attributes[i]))...)
	}
	return append(l, fields(w, visible.Lit("address"), widget.Dim, visible.Escape(e.Address))...)
}

// rawPath is the path with the bytes of the evidence.
func rawPath(e evidence.FileEntry) string {
	if e.PathB64 != nil {
		return string(e.PathB64)
	}
	return e.Path
}

// extended is the name of an extended attribute and its value, or what that
// means.
func extended(a *evidence.Attribute) visible.Text {
	name := a.Name
	if a.NameB64 != nil {
		name = string(a.NameB64)
	}
	value := a.Text
	switch {
	case a.Damage != "":
		value = "! " + a.Damage
	case value != "":
	case a.Value != nil:
		value = strings.TrimSuffix(*a.Value, "\x00") // labels end in one
	default:
		value = string(a.ValueB64)
	}
	return visible.Sprintf("%s = %s", name, value)
}
