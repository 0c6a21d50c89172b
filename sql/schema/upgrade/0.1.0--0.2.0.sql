-- What the comparison of the two install scripts cannot know: changed tables, and what must be dropped first.
-- Functions can be shared.
ALTER TABLE plio.shares ADD COLUMN is_function boolean NOT NULL DEFAULT false;
