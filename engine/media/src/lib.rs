//! Reads, writes and converts images and audio at Corn's edges.
