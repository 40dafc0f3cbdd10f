package machine

import (
	"context"
	"fmt"
	"time"

	"github.com/volvox-os/volvox/store"
)

// ReportImage records that an image is on a machine, with the packages in it,
// or that it is gone. Reporting the same again changes nothing; neither does
// the going of an image that is not there.
func (s *Service) ReportImage(ctx context.Context, i Image) error {
	err := s.db.Update(store.WithName(ctx, "report image"), func(tx *store.Tx) error {
		if i.Gone {
			return forgetImage(tx, i)
		}
		return recordImage(tx, i)
	})
	if err != nil {
		return fmt.Errorf("report image %s of machine %s: %w", i.Ref, i.Machine, err)
	}
	return nil
}

func recordImage(tx *store.Tx, i Image) error {
	if i.FetchedAt.IsZero() {
		i.FetchedAt = time.Now()
	}
	n, err := tx.Exec(`INSERT INTO images (machine, ref, digest, bytes, fetched_at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (machine, ref, digest) DO NOTHING`, i.Machine, i.Ref, i.Digest, i.Bytes, i.FetchedAt)
	if err != nil || n == 0 {
		return err
	}
	for _, p := range i.Packages {
		_, err := tx.Exec(`INSERT INTO image_packages (digest, name, version, sha256) VALUES ($1, $2, $3, $4)
			ON CONFLICT (digest, name) DO NOTHING`, i.Digest, p.Name, p.Version, p.SHA256)
		if err != nil {
			return fmt.Errorf("record its package %s: %w", p.Name, err)
		}
	}
	return nil
}

func forgetImage(tx *store.Tx, i Image) error {
	if _, err := tx.Exec(`DELETE FROM images WHERE machine = $1 AND ref = $2 AND digest = $3`, i.Machine, i.Ref, i.Digest); err != nil {
		return err
	}
	_, err := tx.Exec(`DELETE FROM image_packages WHERE digest = $1 AND digest NOT IN (SELECT digest FROM images)`, i.Digest)
	return err
}

// Images returns the images on all machines, with their packages.
func Images(tx *store.Tx) ([]Image, error) {
	images, err := store.All[Image](tx, `SELECT machine, ref, digest, bytes, fetched_at FROM images ORDER BY machine, ref, fetched_at`)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	for n := range images {
		images[n].Packages, err = store.All[Package](tx, `SELECT name, version, sha256 FROM image_packages WHERE digest = $1 ORDER BY name`, images[n].Digest)
		if err != nil {
			return nil, fmt.Errorf("list the packages of image %s: %w", images[n].Ref, err)
		}
	}
	return images, nil
}
