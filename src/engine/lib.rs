//! Introduced by the commits that follow.
