package azure

import (
	"io/fs"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
)

// known turns what the service answered into the errors of vault.Store; others stay what they are.
func known(op, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case bloberror.HasCode(err, bloberror.BlobAlreadyExists, bloberror.ConditionNotMet, bloberror.LeaseIDMissing): // the last: it is there, and leased
		err = fs.ErrExist
	case bloberror.HasCode(err, bloberror.BlobNotFound, bloberror.ResourceNotFound, bloberror.ContainerNotFound):
		err = fs.ErrNotExist
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func isPastEnd(err error) bool { return bloberror.HasCode(err, bloberror.InvalidRange) }
