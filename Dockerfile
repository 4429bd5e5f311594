# syntax=docker/dockerfile:1
# Portico as a static binary that is not root. Its SQLite database, if it uses that, is kept in the volume /data.

ARG GO_VERSION=1.26.8
FROM golang:${GO_VERSION}-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/portico-sso/portico/app.Version=${VERSION}" -o /image/portico ./cmd/portico \
    && mkdir -p /data /image/tmp /image/etc/ssl/certs \
    && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
    && chmod 1777 /image/tmp

FROM scratch
COPY --from=build /image /
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 5225
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s --start-interval=1s CMD ["/portico", "health"]
ENTRYPOINT ["/portico"]
CMD ["serve"]
