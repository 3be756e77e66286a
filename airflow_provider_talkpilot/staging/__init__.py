"""Parts and manifests on any object storage."""
