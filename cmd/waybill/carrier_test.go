package main

import (
	"context"
	"crypto/md5"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	blobs "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/rogpeppe/go-internal/testscript"

	store "waybill/ingest/vault/azure"
	"waybill/internal/azurite"
)

// carry does as a Data Box does: it uploads a directory into a container, which it makes if it isn't there, over whatever there is, and sets Content-MD5.
func carry(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: carry dir address")
	}
	a, err := store.ParseAddress(args[1])
	ts.Check(err)
	ts.Check(store.Create(context.Background(), a, store.Credential{Key: azurite.Key}, store.Options{}))
	key, err := blobs.NewSharedKeyCredential(azurite.Account, azurite.Key)
	ts.Check(err)
	client, err := blobs.NewClientWithSharedKeyCredential(a.Endpoint+"/"+a.Container, key, nil)
	ts.Check(err)
	root := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		ts.Check(err)
		name := a.Prefix + filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))
		sum := md5.Sum(b)
		_, err = client.NewBlockBlobClient(name).UploadBuffer(context.Background(), b, &blockblob.UploadBufferOptions{HTTPHeaders: &blob.HTTPHeaders{BlobContentMD5: sum[:]}})
		return err
	}))
}
