-- Where a key was found in what a file hides: bytes in the decoded stream that
-- address names behind the "!". off is then where the file starts, -1 where
-- that is not known.
ALTER TABLE hits ADD COLUMN inner_offset INTEGER;
