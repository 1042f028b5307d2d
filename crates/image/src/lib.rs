//! Root filesystems by content hash, from Debian packages or a directory
