package manifest

import (
	"fmt"
	"time"
)

// A Vault is waybill.json.
type Vault struct {
	Format            string    `json:"format"`
	Vault             ID        `json:"vault"`
	Created           time.Time `json:"created"`
	RecoveryRecipient string    `json:"recovery_recipient"`
	ReceiptKey        PublicKey `json:"receipt_key"`
}

// A Machine is machine.json: who a machine is to anyone without keys.
type Machine struct {
	Format             string    `json:"format"`
	Vault              ID        `json:"vault"`
	Machine            ID        `json:"machine"`
	Name               string    `json:"name"`
	Created            time.Time `json:"created"`
	SigningKey         PublicKey `json:"signing_key"`
	CatalogueRecipient string    `json:"catalogue_recipient"`
	Cutter             Cutter    `json:"cutter"`
}

// A Cutter is how a domain's files are cut into chunks, frozen at registration. Sizes in bytes.
type Cutter struct {
	Algorithm string `json:"algorithm"`
	Min       int    `json:"min"`
	Mean      int    `json:"mean"`
	Max       int    `json:"max"`
}

// A Receipt is what the vault's side signs after an ingest.
type Receipt struct {
	Format    string    `json:"format"`
	Vault     ID        `json:"vault"`
	Machine   ID        `json:"machine"`
	Set       ID        `json:"set,omitempty"`
	Time      time.Time `json:"time"`
	Host      string    `json:"host"`
	Tool      string    `json:"tool"`
	Manifests []Digest  `json:"manifests"` // that it covers, in the order of the chain
	Verified  int       `json:"verified"`  // packs that were found good
	Imported  int       `json:"imported"`  // packs that the vault did not have yet
	Bytes     int64     `json:"bytes"`     // of the packs imported
	Missing   []Digest  `json:"missing"`   // the want list: packs of those manifests that the vault still lacks
}

const (
	vaultFormat   = "waybill vault 1"
	machineFormat = "waybill machine 1"
	receiptFormat = "waybill receipt 1"
	maxDocument   = 64 << 10
	maxReceipt    = 64 << 20
)

// Encode returns the document's bytes.
func (v *Vault) Encode() ([]byte, error) {
	v.Format = vaultFormat
	return encode(v)
}

// Encode returns the document's bytes.
func (m *Machine) Encode() ([]byte, error) {
	m.Format = machineFormat
	return encode(m)
}

// Encode returns the document's bytes.
func (r *Receipt) Encode() ([]byte, error) {
	r.Format = receiptFormat
	if r.Manifests == nil {
		r.Manifests = []Digest{}
	}
	if r.Missing == nil {
		r.Missing = []Digest{}
	}
	return encode(r)
}

// ParseVault reads waybill.json.
func ParseVault(b []byte) (*Vault, error) {
	v := &Vault{}
	err := parseDocument(b, v, maxDocument, &v.Format, vaultFormat)
	if err == nil {
		_, err = ParseID(string(v.Vault))
	}
	return v, err
}

// ParseMachine reads machine.json. Its signature is another matter: see OpenMachine.
func ParseMachine(b []byte) (*Machine, error) {
	m := &Machine{}
	err := parseDocument(b, m, maxDocument, &m.Format, machineFormat)
	if err == nil {
		_, err = ParseID(string(m.Machine))
	}
	if err == nil {
		_, err = ParseID(string(m.Vault))
	}
	return m, err
}

// ParseReceipt reads a receipt.
func ParseReceipt(b []byte) (*Receipt, error) {
	r := &Receipt{}
	return r, parseDocument(b, r, maxReceipt, &r.Format, receiptFormat)
}

func parseDocument(b []byte, v any, limit int, format *string, want string) error {
	if len(b) > limit {
		return fmt.Errorf("%s of %d bytes: %w", want, len(b), ErrFormat)
	}
	if err := strict(b, v); err != nil {
		return fmt.Errorf("%s: %w", want, err)
	}
	if *format != want {
		return fmt.Errorf("%.40q where %q should be: %w", *format, want, ErrFormat)
	}
	return nil
}
