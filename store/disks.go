package store

import "context"

// diskCache keeps the images that were opened.
type diskCache struct{}

func (d *diskCache) close() error { return nil }

func (l *load) image(ctx context.Context) error { return nil }
