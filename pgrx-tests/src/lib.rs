//! A real server and real clients against the installed extension.
