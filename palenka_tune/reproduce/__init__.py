"""The poster's ten systems and its grid, as published and corrected, at any scale."""
