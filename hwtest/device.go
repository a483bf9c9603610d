package hwtest

import "fmt"

// Device is what a medium says it is. What is not known is empty.
type Device struct {
	Name       string `json:"name"`  // "sdb"
	Model      string `json:"model"` // as its maker calls it
	Serial     string `json:"serial"`
	Bus        string `json:"bus"`        // "usb", "ata", "nvme", "mmc", "virtio", "loop"
	Link       string `json:"link"`       // speed of the connection: "5000 Mbit/s", "6.0 Gbps", "8.0 GT/s PCIe x4"
	Rotational bool   `json:"rotational"` // it turns
	Size       int64  `json:"size"`       // bytes
	Cache      string `json:"cache"`      // "write back" or "write through"

	path string // /dev/sdb; empty when there is none
}

// Confirmation is what a user types who wants the device destroyed: its serial number, or if it has none, its name and size.
func (d *Device) Confirmation() string {
	if d.Serial != "" {
		return d.Serial
	}
	return fmt.Sprintf("%s-%d", d.Name, d.Size)
}
