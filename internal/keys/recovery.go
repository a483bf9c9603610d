package keys

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"fmt"
	"runtime/debug"

	"filippo.io/age"
	"golang.org/x/crypto/argon2"

	"waybill/manifest"
)

const recoveryFormat = "waybill recovery 1"

// wrapped is keys/recovery.json.
type wrapped struct {
	Format string `json:"format"`
	KDF    string `json:"kdf"`
	Cost
	Salt   []byte `json:"salt"`
	Nonce  []byte `json:"nonce"`
	Sealed []byte `json:"sealed"`
}

// A Cost is what one guess at the passphrase costs, in Argon2id's terms.
type Cost struct {
	Time      uint32 `json:"time"`
	MemoryKiB uint32 `json:"memory_kib"`
	Threads   uint8  `json:"threads"`
}

// FullCost is the one to use: about half a second on the machines of 2026. Only tests use less.
var FullCost = Cost{Time: 3, MemoryKiB: 256 << 10, Threads: 4}

const (
	maxTime      = 64
	maxMemoryKiB = 4 << 20
	maxThreads   = 64
	minSalt      = 16
	maxSalt      = 64
	nonceSize    = 12
	tagSize      = 16
	maxRecovery  = 16 << 10 // bytes of recovery.json
)

// Wrap locks the recovery key of a vault with a passphrase, and returns keys/recovery.json. Unwrapping
// takes the same cost.
func Wrap(id *age.X25519Identity, passphrase []byte, vault manifest.ID, c Cost) ([]byte, error) {
	if err := CheckPassphrase(passphrase); err != nil {
		return nil, err
	}
	w := wrapped{Format: recoveryFormat, KDF: "argon2id", Cost: c, Salt: random(minSalt), Nonce: random(nonceSize)}
	w.Sealed = w.aead(passphrase).Seal(nil, w.Nonce, []byte(id.String()), []byte(vault))
	return encode(w)
}

// Unwrap opens keys/recovery.json. It fails with ErrWrongKey when the passphrase is not the one it was
// locked with, or the file belongs to another vault, and with manifest.ErrFormat when it
// is no such file.
func Unwrap(b, passphrase []byte, vault manifest.ID) (*age.X25519Identity, error) {
	w, err := parseWrapped(b)
	if err != nil {
		return nil, err
	}
	plain, err := w.aead(passphrase).Open(nil, w.Nonce, w.Sealed, []byte(vault))
	if err != nil {
		return nil, fmt.Errorf("unlocking the recovery key of vault %s: %w", vault, ErrWrongKey)
	}
	id, err := age.ParseX25519Identity(string(plain))
	if err != nil {
		return nil, fmt.Errorf("recovery.json: %w: it holds no recovery key", manifest.ErrFormat)
	}
	return id, nil
}

// parseWrapped bounds what opening may cost before anything is spent on it.
func parseWrapped(b []byte) (*wrapped, error) {
	w := &wrapped{}
	if err := parse("recovery.json", b, maxRecovery, w); err != nil {
		return nil, err
	}
	switch {
	case w.Format != recoveryFormat || w.KDF != "argon2id":
		return nil, fmt.Errorf("recovery.json: %w: of the unknown form %q, %q", manifest.ErrFormat, w.Format, w.KDF)
	case w.Time < 1 || w.Time > maxTime, w.MemoryKiB < 1 || w.MemoryKiB > maxMemoryKiB, w.Threads < 1 || w.Threads > maxThreads:
		return nil, fmt.Errorf("recovery.json: %w: key derivation costs beyond the format's limits", manifest.ErrFormat)
	case len(w.Salt) < minSalt || len(w.Salt) > maxSalt, len(w.Nonce) != nonceSize, len(w.Sealed) < tagSize:
		return nil, fmt.Errorf("recovery.json: %w: salt, nonce or key of an impossible length", manifest.ErrFormat)
	}
	return w, nil
}

func (w *wrapped) aead(passphrase []byte) cipher.AEAD {
	key := argon2.IDKey(passphrase, w.Salt, w.Time, w.MemoryKiB, w.Threads, 32)
	debug.FreeOSMemory() // 256 MiB that nothing needs again; what follows must not come on top of them
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key has the one length that is right
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails: crypto/rand
	return b
}
