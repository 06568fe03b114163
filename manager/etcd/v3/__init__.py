"""Messages and stubs of etcd's API, version 3, generated from proto/manager/etcd/v3."""
