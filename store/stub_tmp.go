package store

import (
	"context"
	"snapcase/evidence"
)

func originalNames(f evidence.Folder, exhibit string) (map[string]string, error) { return nil, nil }
func (l *load) image(ctx context.Context) error { return nil }
