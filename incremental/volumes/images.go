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
func openImages(cfg *save.Config, o Options) (all []*volume, err error) {
	roots := map[string]func() (*source.Dir, error){}
	for _, m := range o.Images {
		v, err := openImage(m, o.Tell)
		if v != nil {
			all = append(all, v)
		}
		if err != nil {
			return all, fmt.Errorf("opening the image %s: %w", m.Path, err)
		}
		roots[m.As] = v.saving.Open
	}
	if len(cfg.Roots) == 0 {
		for _, v := range all {
			cfg.Roots = append(cfg.Roots, v.path)
		}
	}
	cfg.Root = func() (*source.Dir, error) { return source.Virtual(roots), nil }
	return all, nil
}

// openImage opens the volume in an image. When it fails, what it opened is in the volume all the same, to be closed.
func openImage(m Image, tell func(string)) (*volume, error) {
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
	if state, err := fs.State(); err != nil {
		return v, err
	} else if tell != nil && !state.Clean() {
		tell(fmt.Sprintf("%s of %s: %s", m.As, m.Path, state))
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
