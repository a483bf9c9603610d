package plan

import (
	"context"
	"fmt"
)

// Count counts the source without looking into its files: Options.Files and Bytes tell how far it is, and when it returns they are the totals
// of what could be looked at.
func Count(ctx context.Context, o *Options) error {
	w, err := newWalker(ctx, o)
	if err == nil {
		_, err = w.walk()
	}
	if err != nil {
		return fmt.Errorf("counting: %w", err)
	}
	return nil
}
