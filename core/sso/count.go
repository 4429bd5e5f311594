package sso

import (
	"context"

	"github.com/portico-sso/portico/ports/store"
)

// CountByProject counts a project's connections; "" those of all projects.
func (s *Service) CountByProject(ctx context.Context, projectID string) (int64, error) {
	if projectID == "" {
		return s.repo.Count(ctx, store.Range{})
	}
	return s.repo.Count(ctx, store.Range{Index: byProject, Eq: []string{projectID}})
}
