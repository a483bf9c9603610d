package azure

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/bloberror"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/sas"

	"waybill/internal/durable"
)

// PutFrom is Put of an object that another Store has, which the service fetches by itself: nothing of it comes by here. It compares what it fetches
// with md5, and creates nothing that is something else: then it is not the same.
//
// The service of the vault must be able to read the other: with the other's SAS, or one that lasts for a while and is made with its key, or with its token. Where the
// service, or a credential, won't have it that way, it is errors.ErrUnsupported, and nothing is there: then the object has to be read and put.
func (s *Store) PutFrom(ctx context.Context, name string, from any, fromName string, size int64, md5 []byte) (same bool, err error) {
	source, ok := from.(*Store)
	if !ok {
		return false, fmt.Errorf("copying %s: %w", name, errors.ErrUnsupported)
	}
	if err := durable.CheckName(fromName); err != nil {
		return false, err
	}
	b, err := s.blob(name)
	if err != nil {
		return false, err
	}
	url, token, err := source.readable(ctx, fromName)
	if err != nil {
		return false, fmt.Errorf("copying %s: %w", name, err)
	}
	maybe := false // done in an attempt whose answer was lost
	err = s.try(ctx, "create", func(ctx context.Context) error {
		_, err := b.UploadBlobFromURL(ctx, url, &blockblob.UploadBlobFromURLOptions{SourceContentMD5: md5, CopySourceAuthorization: token, CopySourceBlobProperties: to.Ptr(false),
			HTTPHeaders: &blob.HTTPHeaders{BlobContentMD5: md5}, AccessConditions: ifNew})
		maybe = maybe || passes(err)
		return fetches(err)
	})
	if wontFetch(err) {
		err = s.putBlockFrom(ctx, b, url, token, size, md5)
	}
	if wontFetch(err) {
		return false, fmt.Errorf("copying %s: the service fetches nothing by itself: %w", name, errors.ErrUnsupported)
	}
	if bloberror.HasCode(err, bloberror.MD5Mismatch) {
		return false, nil
	}
	if exists(err) { // or the source is in the archive, which some of these words say of either
		switch _, perr := s.properties(ctx, b); {
		case missing(perr):
			return false, fmt.Errorf("copying %s: %w: %w", name, errors.ErrUnsupported, s.explain(err))
		case perr != nil:
			return false, s.known("create", name, perr)
		case maybe:
			return true, nil // whoever did it: the vault has it now
		}
		return false, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	return err == nil, s.known("create", name, err)
}

// putBlockFrom fetches the object as one block, and makes a blob of that. It takes more of a credential than PutFrom's other way: write.
func (s *Store) putBlockFrom(ctx context.Context, b *blockblob.Client, url string, token *string, size int64, md5 []byte) error {
	if size > blockblob.MaxStageBlockBytes {
		return errors.ErrUnsupported
	}
	id := base64.StdEncoding.EncodeToString(md5)
	return s.try(ctx, "create", func(ctx context.Context) error {
		_, err := b.StageBlockFromURL(ctx, id, url, &blockblob.StageBlockFromURLOptions{CopySourceAuthorization: token, SourceContentValidation: blob.SourceContentValidationTypeMD5(md5)})
		if err = fetches(err); err == nil {
			_, err = b.CommitBlockList(ctx, []string{id}, &blockblob.CommitBlockListOptions{HTTPHeaders: &blob.HTTPHeaders{BlobContentMD5: md5}, AccessConditions: ifNew})
		}
		return err
	})
}

// fetches turns an answer of 500 that names no error into errors.ErrUnsupported: Azure always names one, and Azurite answers so, for ever, what
// it doesn't know and is asked for with a signature.
func fetches(err error) error {
	var answer *azcore.ResponseError
	if errors.As(err, &answer) && answer.StatusCode == http.StatusInternalServerError && answer.ErrorCode == "" {
		return errors.ErrUnsupported
	}
	return err
}

// wontFetch tells that a service, or a credential, won't fetch: it doesn't know how, can't read the source, or may do no more than put whole blobs.
func wontFetch(err error) bool {
	var answer *azcore.ResponseError
	if errors.Is(err, errors.ErrUnsupported) {
		return true
	}
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.StatusCode {
	case http.StatusNotImplemented, http.StatusForbidden, http.StatusUnauthorized, http.StatusMethodNotAllowed:
		return true
	}
	switch answer.ErrorCode {
	case "CannotVerifyCopySource", "UnsupportedHeader", "InvalidHeaderValue", "FeatureVersionMismatch":
		return true
	}
	return false
}

const readableFor = 12 * time.Hour

// readable is the URL of an object, with what another service needs to read it: a SAS in the URL, or a token beside.
func (s *Store) readable(ctx context.Context, name string) (url string, token *string, err error) {
	b := s.container.NewBlobClient(s.address.Prefix + name)
	switch {
	case s.credential.SAS != "":
		return b.URL(), nil, nil // with it
	case s.credential.Key != "":
		url, err = b.GetSASURL(sas.BlobPermissions{Read: true}, time.Now().Add(readableFor), nil)
		return url, nil, err
	}
	tokens, err := s.login()
	if err != nil {
		return "", nil, err
	}
	t, err := tokens.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{"https://storage.azure.com/.default"}})
	if err != nil {
		return "", nil, fmt.Errorf("a token for %s: %w", s.address, err)
	}
	return b.URL(), to.Ptr("Bearer " + t.Token), nil
}
