package main

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"waybill/incremental/volumes"
	"waybill/internal/cli"
	"waybill/internal/save"
)

// imageFlags say which disk images are saved.
type imageFlags struct{ images, as []string }

func (f *imageFlags) flags(fs *pflag.FlagSet) {
	fs.StringArrayVar(&f.images, "image", nil, "save what is in the disk image or device `FILE[:PARTITION]`, in place of what is on this machine; may be given again")
	fs.StringArrayVar(&f.as, "as", nil, "`NAME` of the volume in that image, as in C:")
}

// volumes are the volumes in images.
func (f *imageFlags) volumes() (all []volumes.Image, err error) {
	if len(f.images) != len(f.as) {
		return nil, cli.Errorf(cli.Usage, "each --image takes an --as, which says how the volume in it is called").Hinted("as in --image web1.vhdx --as C:")
	}
	for i, arg := range f.images {
		v := volumes.Image{Path: arg, As: volumeName(f.as[i])}
		if at := strings.LastIndexByte(arg, ':'); at > 0 {
			if n, err := strconv.ParseUint(arg[at+1:], 10, 8); err == nil && n > 0 {
				v.Path, v.Partition = arg[:at], int(n)
			}
		}
		if v.As == "" || strings.ContainsAny(v.As, `/\`) || v.As == "." || v.As == ".." {
			return nil, cli.Errorf(cli.Usage, "--as %q: a volume is called by a name without slashes, as in C:", f.as[i])
		}
		if slices.ContainsFunc(all, func(o volumes.Image) bool { return o.As == v.As }) {
			return nil, cli.Errorf(cli.Usage, "--as %s: another image has that name", v.As)
		}
		if v.Path, err = filepath.Abs(v.Path); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// volumeName is the name of a volume as it is in paths: drive letters are upper case.
func volumeName(s string) string {
	if len(s) == 2 && s[1] == ':' {
		return strings.ToUpper(s)
	}
	return s
}

// rootsIn are the paths of what is to be saved in images: as Windows or a recovery point has them.
func rootsIn(images []volumes.Image, paths []string) (roots []string, err error) {
	for _, p := range paths {
		clean := strings.TrimPrefix(path.Clean("/"+strings.ReplaceAll(p, `\`, "/")), "/")
		name, rest, _ := strings.Cut(clean, "/")
		name = volumeName(name)
		if !slices.ContainsFunc(images, func(v volumes.Image) bool { return v.As == name }) {
			return nil, cli.Errorf(cli.Usage, "%s is not in an image: with --image, all that is saved is", p).
				Hinted(`a path begins with the name of its volume, as in %s\Users`, images[0].As)
		}
		roots = append(roots, path.Join("/"+name, rest))
	}
	return roots, nil
}

// roots are the paths of what is to be saved: in the images, when there are any.
func roots(images []volumes.Image, paths []string) ([]string, error) {
	if len(images) > 0 {
		return rootsIn(images, paths)
	}
	return absolute(paths)
}

// imagesAgain adds to the error of a run that looked on this machine for a volume like C: that images have to be named again.
func imagesAgain(err error) error {
	e, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(e.Path, "/"), "/")
	if len(name) != 2 || name[1] != ':' || !strings.HasPrefix(e.Path, "/") {
		return err
	}
	return cli.Errorf(cli.Usage, "%w", err).Hinted("what was saved from images is saved from them again when they are named, as in --image web1.qcow2:3 --as %s", name)
}

// inImages has a run that reads again what was saved find it in the images, if there are any, until release is called.
func inImages(ctx context.Context, cfg *save.Config, o volumes.Options) (release func() error, err error) {
	if len(o.Images) == 0 {
		return func() error { return nil }, nil
	}
	held, err := volumes.Prepare(ctx, cfg, volumes.Options{Mode: volumes.Off, Images: o.Images})
	if err != nil {
		return nil, err
	}
	return held.Release, nil
}
