package store

import (
	"context"
	"unicode/utf8"

	"snapcase/evidence"
	"snapcase/imaging/filesystem"
)

// readAttributes sets the extended attributes of the rows whose file system has
// any, and the names that have times of their own. What went wrong is added to an entry's damage.
func (c *Case) readAttributes(ctx context.Context, rows []entryRow) error {
	for i := range rows {
		r := &rows[i]
		if err := ctx.Err(); err != nil {
			return err
		}
		v, err := c.volume(ctx, r.Exhibit, r.Volume)
		if err != nil {
			return err
		}
		r.Attributes = []evidence.Attribute{}
		r.readNames(v.FS)
		a, ok := v.FS.(filesystem.Attributer)
		if !ok || r.Status == filesystem.Deleted.String() {
			continue
		}
		list, damage, err := a.Attributes(r.ref())
		if err != nil {
			damage = "partial: " + err.Error()
		}
		r.damaged(damage)
		for _, x := range list {
			r.Attributes = append(r.Attributes, attributeOf(x))
		}
	}
	return nil
}

func attributeOf(x filesystem.Attribute) evidence.Attribute {
	a := evidence.Attribute{Name: asJSON(x.Name), Text: x.Text(), Damage: x.Damage}
	if a.Name != x.Name {
		a.NameB64 = []byte(x.Name)
	}
	if utf8.Valid(x.Value) {
		value := string(x.Value)
		a.Value = &value
	} else {
		a.ValueB64 = x.Value
	}
	return a
}

// readNames sets the names that have times of their own. Of a record that was
// reused there are none.
func (r *entryRow) readNames(fs filesystem.FileSystem) {
	n, ok := fs.(filesystem.FileNamer)
	if !ok {
		return
	}
	list, err := n.FileNames(r.ref())
	if err != nil && r.Status == filesystem.Allocated.String() {
		r.damaged("partial: " + err.Error())
	}
	for _, x := range list {
		r.FileNames = append(r.FileNames, evidence.FileName{
			Name: x.Name, Parent: x.Parent, Short: x.Short, Size: x.Size,
			Modified: x.Modified, Accessed: x.Accessed, Changed: x.Changed, Born: x.Born,
		})
	}
}
