-- What a migration that stopped half-way left: a column and two tables are missing in one organization.
ALTER TABLE session DROP COLUMN is_first;
DROP TABLE program_plio, program;
