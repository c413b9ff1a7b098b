CREATE VIEW analyst.imports AS
SELECT i.id, s.key AS source, s.database, s.release, i.file_name, encode(i.file_sha256, 'hex') AS file_sha256, i.state,
       i.n_read, i.n_accepted, i.n_flagged, i.n_quarantined, i.n_unchanged, i.n_superseded,
       extract(epoch FROM i.finished_at - i.started_at) AS seconds, i.started_at, i.error
FROM import_run i JOIN source s ON s.id = i.source_id;
COMMENT ON VIEW analyst.imports IS 'Every import of a file';
COMMENT ON COLUMN analyst.imports.id IS 'number of the import';
COMMENT ON COLUMN analyst.imports.source IS 'key of the source';
COMMENT ON COLUMN analyst.imports.database IS 'database as its authors write it';
COMMENT ON COLUMN analyst.imports.release IS 'release';
COMMENT ON COLUMN analyst.imports.file_name IS 'name of the file';
COMMENT ON COLUMN analyst.imports.file_sha256 IS 'SHA-256 of the file, hexadecimal';
COMMENT ON COLUMN analyst.imports.state IS 'running, finished or failed';
COMMENT ON COLUMN analyst.imports.n_read IS 'records read';
COMMENT ON COLUMN analyst.imports.n_accepted IS 'new or changed records accepted';
COMMENT ON COLUMN analyst.imports.n_flagged IS 'of these, with a doubted property';
COMMENT ON COLUMN analyst.imports.n_quarantined IS 'records set aside';
COMMENT ON COLUMN analyst.imports.n_unchanged IS 'records already held';
COMMENT ON COLUMN analyst.imports.n_superseded IS 'older versions replaced';
COMMENT ON COLUMN analyst.imports.seconds IS 's, time it took';
COMMENT ON COLUMN analyst.imports.started_at IS 'when it began';
COMMENT ON COLUMN analyst.imports.error IS 'why it failed';

CREATE VIEW analyst.quarantine AS
SELECT s.key AS source, r.external_id, r.rule, r.reason, r.payload, r.raw_text, r.created_at
FROM source_record r JOIN source s ON s.id = r.source_id
WHERE r.state = 'quarantined';
COMMENT ON VIEW analyst.quarantine IS 'Records set aside, with the rule that they broke';
COMMENT ON COLUMN analyst.quarantine.source IS 'key of the source';
COMMENT ON COLUMN analyst.quarantine.external_id IS 'identifier in the source, or line number';
COMMENT ON COLUMN analyst.quarantine.rule IS 'name of the rule';
COMMENT ON COLUMN analyst.quarantine.reason IS 'what the rule says of this record';
COMMENT ON COLUMN analyst.quarantine.payload IS 'the raw record';
COMMENT ON COLUMN analyst.quarantine.raw_text IS 'the raw text, where it could not be parsed';
COMMENT ON COLUMN analyst.quarantine.created_at IS 'when it was read';

CREATE VIEW analyst.flags AS
SELECT s.key AS source, r.external_id, f.rule, f.property_key AS property, f.detail,
       EXISTS (SELECT FROM record_release l
               WHERE l.source_record_id = f.source_record_id AND l.property_key = f.property_key) AS released
FROM record_flag f JOIN source_record r ON r.id = f.source_record_id AND r.state = 'accepted'
JOIN source s ON s.id = r.source_id;
COMMENT ON VIEW analyst.flags IS 'Doubted values of accepted records: kept raw, and not used unless released';
COMMENT ON COLUMN analyst.flags.source IS 'key of the source';
COMMENT ON COLUMN analyst.flags.external_id IS 'identifier in the source';
COMMENT ON COLUMN analyst.flags.rule IS 'name of the rule';
COMMENT ON COLUMN analyst.flags.property IS 'key of the doubted property';
COMMENT ON COLUMN analyst.flags.detail IS 'what the rule says';
COMMENT ON COLUMN analyst.flags.released IS 'whether a person has released the value, so that it is used all the same';

CREATE VIEW analyst.releases AS
SELECT s.key AS source, r.external_id, r.id AS record, l.rule, l.property_key AS property,
       (SELECT array_agg(v.value ORDER BY v.id)
        FROM property_value v JOIN property p ON p.id = v.property_id AND p.key = l.property_key
        WHERE v.source_record_id = r.id) AS values,
       (SELECT p.unit FROM property p WHERE p.key = l.property_key) AS unit,
       coalesce((SELECT f.detail FROM record_flag f
                 WHERE f.source_record_id = r.id AND f.rule = l.rule AND f.property_key = l.property_key),
                r.reason) AS detail,
       r.state = 'accepted' AS in_use, l.author, l.note, l.released_at
FROM record_release l JOIN source_record r ON r.id = l.source_record_id
JOIN source s ON s.id = r.source_id;
COMMENT ON VIEW analyst.releases IS 'Records and values used in spite of a rule, by a person''s decision';
COMMENT ON COLUMN analyst.releases.source IS 'key of the source';
COMMENT ON COLUMN analyst.releases.external_id IS 'identifier in the source';
COMMENT ON COLUMN analyst.releases.record IS 'number of the record, for stackscreen quarantine show';
COMMENT ON COLUMN analyst.releases.rule IS 'name of the rule that is waived';
COMMENT ON COLUMN analyst.releases.property IS 'key of the released property; null for a record as a whole';
COMMENT ON COLUMN analyst.releases.values IS 'numbers of the released property, in the unit of the column unit; null for a record as a whole';
COMMENT ON COLUMN analyst.releases.unit IS 'unit of values';
COMMENT ON COLUMN analyst.releases.detail IS 'what the rule says of it';
COMMENT ON COLUMN analyst.releases.in_use IS 'whether the record is in use: not once a newer version has replaced it';
COMMENT ON COLUMN analyst.releases.author IS 'who released it';
COMMENT ON COLUMN analyst.releases.note IS 'why';
COMMENT ON COLUMN analyst.releases.released_at IS 'when';

CREATE VIEW analyst.members AS
SELECT m.uid, m.kind, s.key AS source, r.external_id, mm.distance, mm.method, mm.version, mm.evidence, mm.decided_at
FROM material_member mm
JOIN material m ON m.id = mm.material_id
JOIN source_record r ON r.id = mm.source_record_id
JOIN source s ON s.id = r.source_id;
COMMENT ON VIEW analyst.members IS 'Which record is which material, and the evidence';
COMMENT ON COLUMN analyst.members.uid IS 'stable name of the material';
COMMENT ON COLUMN analyst.members.kind IS 'monolayer or bulk';
COMMENT ON COLUMN analyst.members.source IS 'key of the source';
COMMENT ON COLUMN analyst.members.external_id IS 'identifier in the source';
COMMENT ON COLUMN analyst.members.distance IS 'Å, fingerprint distance to the representative';
COMMENT ON COLUMN analyst.members.method IS 'how it was decided';
COMMENT ON COLUMN analyst.members.version IS 'version of the method';
COMMENT ON COLUMN analyst.members.evidence IS 'numbers behind the decision';
COMMENT ON COLUMN analyst.members.decided_at IS 'when it was decided';

CREATE VIEW analyst.model_metrics AS
SELECT v.target, p.unit, v.domain, v.family, v.name, v.served, v.split, v.metrics, v.trained_at,
       encode(v.artefact_digest, 'hex') AS artefact_sha256
FROM model_version v LEFT JOIN property p ON p.key = v.target;
COMMENT ON VIEW analyst.model_metrics IS 'Models with their errors beside those of their baselines';
COMMENT ON COLUMN analyst.model_metrics.target IS 'key of the predicted property';
COMMENT ON COLUMN analyst.model_metrics.unit IS 'unit of the errors';
COMMENT ON COLUMN analyst.model_metrics.domain IS 'what it was validated on';
COMMENT ON COLUMN analyst.model_metrics.family IS 'kind of model';
COMMENT ON COLUMN analyst.model_metrics.name IS 'name and version';
COMMENT ON COLUMN analyst.model_metrics.served IS 'whether predictions are made with it';
COMMENT ON COLUMN analyst.model_metrics.split IS 'folds behind the errors';
COMMENT ON COLUMN analyst.model_metrics.metrics IS 'errors by split, of the model and of each baseline, in unit';
COMMENT ON COLUMN analyst.model_metrics.trained_at IS 'when it was trained or registered';
COMMENT ON COLUMN analyst.model_metrics.artefact_sha256 IS 'SHA-256 of the artefact, hexadecimal';

CREATE VIEW analyst.sources AS
SELECT s.key, s.database, s.release, s.method, s.licence, s.citation,
       (SELECT count(*) FROM source_record r WHERE r.source_id = s.id AND r.state = 'accepted') AS n_records
FROM source s;
COMMENT ON VIEW analyst.sources IS 'The databases that were imported';
COMMENT ON COLUMN analyst.sources.key IS 'short name';
COMMENT ON COLUMN analyst.sources.database IS 'database as its authors write it';
COMMENT ON COLUMN analyst.sources.release IS 'release; starter for the built-in set';
COMMENT ON COLUMN analyst.sources.method IS 'code and functional';
COMMENT ON COLUMN analyst.sources.licence IS 'licence of the data';
COMMENT ON COLUMN analyst.sources.citation IS 'what to cite';
COMMENT ON COLUMN analyst.sources.n_records IS 'living records';
