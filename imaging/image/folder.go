package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"snapcase/imaging"
	"snapcase/imaging/image/container"
)

// mostDepth bounds how many containers stand upon one another as parents.
const mostDepth = 16

// opening is one OpenAny: the files that it opened, the folder it may open
// others in, and what it tried.
type opening struct {
	dir   string
	files map[string]*File
	uses  map[string]int // how often each was opened
	order []string       // paths, in the order of opening
	tried []string
	names []string // of the folder, once read
	depth int
}

func (o *opening) try(format, reason string, args ...any) {
	o.tried = append(o.tried, format+": "+fmt.Sprintf(reason, args...))
}

// open opens the file at path once.
func (o *opening) open(path string) (*File, error) {
	if f := o.files[path]; f != nil {
		o.uses[path]++
		return f, nil
	}
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	o.files[path], o.uses[path] = f, 1
	o.order = append(o.order, path)
	return f, nil
}

// Forget implements container.Folder.
func (o *opening) Forget(name string) error {
	path := filepath.Join(o.dir, name)
	f := o.files[path]
	if f == nil {
		return nil
	}
	if o.uses[path]--; o.uses[path] > 0 {
		return nil
	}
	delete(o.files, path)
	o.order = slices.DeleteFunc(o.order, func(p string) bool { return p == path })
	return f.Close()
}

// rewind closes what was opened after the first n files.
func (o *opening) rewind(n int) error {
	var errs []error
	for _, path := range o.order[n:] {
		errs = append(errs, o.files[path].Close())
		delete(o.files, path)
	}
	o.order = o.order[:n]
	return errors.Join(errs...)
}

func (o *opening) close() error {
	var errs []error
	for _, path := range o.order {
		errs = append(errs, o.files[path].Close())
	}
	return errors.Join(errs...)
}

// Names implements container.Folder.
func (o *opening) Names() ([]string, error) {
	if o.names != nil {
		return o.names, nil
	}
	entries, err := os.ReadDir(o.dir)
	if err != nil {
		return nil, err
	}
	o.names = []string{}
	for _, e := range entries {
		if e.Type().IsRegular() {
			o.names = append(o.names, e.Name())
		}
	}
	return o.names, nil
}

// beside is the path of a file that the evidence names. It lies in the folder of
// the image and is a regular file: a name that leads elsewhere, or a link, would
// bring files of the examiner's machine into the evidence.
func (o *opening) beside(name string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("%q is no name of a file beside the image", name)
	}
	path := filepath.Join(o.dir, name)
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fmt.Errorf("%q is not beside the image: %w", name, os.ErrNotExist)
	case err != nil:
		return "", err
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%q beside the image is no regular file", name)
	}
	return path, nil
}

// File implements container.Folder.
func (o *opening) File(name string) (imaging.Source, error) {
	path, err := o.beside(name)
	if err != nil {
		return nil, err
	}
	return o.open(path)
}

// Image implements container.Folder.
func (o *opening) Image(name string) (*container.Image, error) {
	path, err := o.beside(name)
	if err != nil {
		return nil, err
	}
	if o.depth >= mostDepth {
		return nil, container.Unsupported("image", "more than %d images stand upon one another, or in a circle", mostDepth)
	}
	o.depth++
	defer func() { o.depth-- }()
	l, err := o.layers(path)
	if err != nil {
		return nil, err
	}
	return l.flatten(), nil
}
