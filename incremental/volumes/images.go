package volumes

import (
	"fmt"

	"waybill/incremental/journal/usn"
	"waybill/internal/ntfs"
	"waybill/internal/ntfs/image"
	"waybill/internal/ntfs/ntfsdir"
	"waybill/internal/save"
	"waybill/internal/source"
)

// openImages makes cfg save what is in disk images: its roots are paths as the system in them has them, by default all of each volume.
func openImages(cfg *save.Config, images []Image) (all []*volume, err error) {
	roots := map[string]func() (*source.Dir, error){}
	for _, m := range images {
		v, err := openImage(m)
		if v != nil {
			all = append(all, v)
		}
		if err != nil {
			return all, fmt.Errorf("opening the image %s: %w", m.Path, err)
		}
		roots[m.As] = v.saving.Open
		if len(cfg.Roots) == 0 {
			defer func() { cfg.Roots = append(cfg.Roots, v.path) }()
		}
	}
	cfg.Root = func() (*source.Dir, error) { return source.Virtual(roots), nil }
	return all, nil
}

// openImage opens the volume in an image. When it fails, what it opened is in the volume all the same, to be closed.
func openImage(m Image) (*volume, error) {
	img, err := image.Open(m.Path)
	if err != nil {
		return nil, err
	}
	v := &volume{path: "/" + m.As, system: "ntfs", closers: []func() error{img.Close}}
	part, err := img.Volume(m.Partition)
	if err != nil {
		return v, err
	}
	fs, err := ntfs.Open(part, part.Size())
	if err != nil {
		return v, err
	}
	v.saving.Open = func() (*source.Dir, error) { return ntfsdir.Open(fs) }
	j, err := usn.OpenRaw(fs)
	if err != nil {
		v.failed(err)
	} else {
		v.journal = j
	}
	return v, nil
}
