package manifest

import (
	"fmt"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Vault is waybill.json: the vault's id and its public keys.
type Vault struct {
	Vault             ID        `json:"vault"`
	Created           time.Time `json:"created"`
	RecoveryRecipient string    `json:"recovery_recipient"` // an age recipient
	ReceiptKey        PublicKey `json:"receipt_key"`
}

// A Machine is machine.json: who a machine is to anyone without keys.
type Machine struct {
	Vault              ID        `json:"vault"`
	Machine            ID        `json:"machine"`
	Name               string    `json:"name"`
	Created            time.Time `json:"created"`
	SigningKey         PublicKey `json:"signing_key"`
	CatalogueRecipient string    `json:"catalogue_recipient"` // an age recipient
	Cutter             Cutter    `json:"cutter"`
}

// A Cutter is how a domain's files are cut into chunks, frozen at registration. Sizes are in bytes.
type Cutter struct {
	Algorithm string `json:"algorithm"`
	Min       int    `json:"min"`
	Mean      int    `json:"mean"`
	Max       int    `json:"max"`
}

const (
	vaultFormat   = "waybill vault 1"
	machineFormat = "waybill machine 1"
	maxDocument   = 64 << 10
	maxText       = 1024 // bytes of a name, host or tool
)

// Encode returns waybill.json. Times are cut to whole seconds. It fails with ErrFormat where ParseVault would.
func (v Vault) Encode() ([]byte, error) {
	v.Created = v.Created.UTC().Truncate(time.Second)
	if err := v.check(); err != nil {
		return nil, err
	}
	return EncodeDocument(struct {
		Format string `json:"format"`
		Vault
	}{vaultFormat, v})
}

// ParseVault reads waybill.json; it fails with ErrFormat.
func ParseVault(b []byte) (*Vault, error) {
	v := &Vault{}
	if err := ParseDocument(b, maxDocument, vaultFormat, v); err != nil {
		return nil, err
	}
	return v, v.check()
}

func (v *Vault) check() error {
	_, err := v.ReceiptKey.parse()
	if !v.Vault.valid() || !recipient(v.RecoveryRecipient) || err != nil {
		return fmt.Errorf("%s: %w: an id or a key is not in its form", VaultName, ErrFormat)
	}
	return nil
}

// Encode returns machine.json. Times are cut to whole seconds. It fails with ErrFormat where ParseMachine would.
func (m Machine) Encode() ([]byte, error) {
	m.Created = m.Created.UTC().Truncate(time.Second)
	if err := m.check(); err != nil {
		return nil, err
	}
	return EncodeDocument(struct {
		Format string `json:"format"`
		Machine
	}{machineFormat, m})
}

// ParseMachine reads machine.json; it fails with ErrFormat. Its signature is another matter: see OpenMachine.
func ParseMachine(b []byte) (*Machine, error) {
	m := &Machine{}
	if err := ParseDocument(b, maxDocument, machineFormat, m); err != nil {
		return nil, err
	}
	return m, m.check()
}

func (m *Machine) check() error {
	_, err := m.SigningKey.parse()
	c := m.Cutter
	switch {
	case !m.Vault.valid() || !m.Machine.valid() || !recipient(m.CatalogueRecipient) || err != nil:
		return fmt.Errorf("machine.json: %w: an id or a key is not in its form", ErrFormat)
	case m.Name == "" || !oneLine(m.Name):
		return fmt.Errorf("machine.json: %w: the name %.80q", ErrFormat, m.Name)
	case c.Algorithm == "" || !oneLine(c.Algorithm) || c.Min < 1 || c.Min > c.Mean || c.Mean > c.Max:
		return fmt.Errorf("machine.json: %w: the cutter %+v", ErrFormat, c)
	}
	return nil
}

// recipient tells whether s looks like an age X25519 recipient. Only who encrypts to it needs to know more.
func recipient(s string) bool {
	for i := range len(s) {
		if (s[i] < 'a' || s[i] > 'z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return len(s) == 62 && s[:4] == "age1"
}

// oneLine tells whether s can be shown on one line of a terminal.
func oneLine(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return utf8.ValidString(s) && len(s) <= maxText
}
