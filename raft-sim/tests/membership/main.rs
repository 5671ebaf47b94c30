//! Whole lives of clusters whose servers change: they grow, are replaced and shrink, and strangers are refused.

mod lifecycle;
mod strangers;
mod town;
