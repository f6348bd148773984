//! Through the public interface.
