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

CREATE VIEW analyst.models AS
SELECT v.id, v.target, p.unit, v.domain, v.family, v.name, v.served, v.split, v.trained_at, v.code_version,
       encode(v.artefact_digest, 'hex') AS artefact_sha256, encode(v.data_digest, 'hex') AS data_sha256
FROM model_version v LEFT JOIN property p ON p.key = v.target;
COMMENT ON VIEW analyst.models IS 'Versions of models; their errors are in model_metrics';
COMMENT ON COLUMN analyst.models.id IS 'number of the version';
COMMENT ON COLUMN analyst.models.target IS 'key of the predicted property; embedding for an encoder';
COMMENT ON COLUMN analyst.models.unit IS 'unit of the predictions';
COMMENT ON COLUMN analyst.models.domain IS 'what it was validated on';
COMMENT ON COLUMN analyst.models.family IS 'kind of model';
COMMENT ON COLUMN analyst.models.name IS 'name and version';
COMMENT ON COLUMN analyst.models.served IS 'whether predictions are made with it';
COMMENT ON COLUMN analyst.models.split IS 'folds that decided whether it is served';
COMMENT ON COLUMN analyst.models.trained_at IS 'when it was trained or registered';
COMMENT ON COLUMN analyst.models.code_version IS 'version of Stackscreen that made it';
COMMENT ON COLUMN analyst.models.artefact_sha256 IS 'SHA-256 of the artefact, hexadecimal';
COMMENT ON COLUMN analyst.models.data_sha256 IS 'SHA-256 of what it was trained on, hexadecimal';

CREATE VIEW analyst.model_metrics AS
SELECT e.id AS evaluation, e.model_version_id AS model, coalesce(v.served, false) AS served, e.target, p.unit, e.domain,
       e.source, e.split, e.folds, m.method, m.method = e.method AS is_model, m.is_baseline,
       m.method = e.baseline AS is_best_baseline, m.part_kind, m.part, m.n, m.mae, m.rmse, m.r2, m.accuracy,
       m.balanced_accuracy, m.coverage, m.coverage_by_material, m.width, m.spread, e.repeats, e.beats_baseline,
       encode(e.data_digest, 'hex') AS data_sha256, e.code_version, e.evaluated_at
FROM model_metric m JOIN model_evaluation e ON e.id = m.evaluation_id
LEFT JOIN model_version v ON v.id = e.model_version_id
LEFT JOIN property p ON p.key = e.target;
COMMENT ON VIEW analyst.model_metrics IS 'Errors of models and baselines on interfaces that they could not know, a row a method and kind of interface';
COMMENT ON COLUMN analyst.model_metrics.evaluation IS 'number of the evaluation';
COMMENT ON COLUMN analyst.model_metrics.model IS 'version of the model that it speaks of; empty if it was evaluated only';
COMMENT ON COLUMN analyst.model_metrics.served IS 'whether predictions are made with that version';
COMMENT ON COLUMN analyst.model_metrics.target IS 'key of the predicted property';
COMMENT ON COLUMN analyst.model_metrics.unit IS 'unit of mae, rmse, width and spread; classes have none';
COMMENT ON COLUMN analyst.model_metrics.domain IS 'homobilayer, heterobilayer or 2d-on-bulk';
COMMENT ON COLUMN analyst.model_metrics.source IS 'key of the source of the labelled interfaces';
COMMENT ON COLUMN analyst.model_metrics.split IS 'what was kept out of training: leave-material-out, both-unseen, ...';
COMMENT ON COLUMN analyst.model_metrics.folds IS 'rule, version and number of folds, or digest of a fold file';
COMMENT ON COLUMN analyst.model_metrics.method IS 'model or baseline';
COMMENT ON COLUMN analyst.model_metrics.is_model IS 'whether this method is the one judged';
COMMENT ON COLUMN analyst.model_metrics.is_baseline IS 'whether this method is to be beaten';
COMMENT ON COLUMN analyst.model_metrics.is_best_baseline IS 'whether it is the baseline that errs least';
COMMENT ON COLUMN analyst.model_metrics.part_kind IS 'all, family, block or class: what the rows are a part of';
COMMENT ON COLUMN analyst.model_metrics.part IS 'which family, block of elements or class; empty for all rows';
COMMENT ON COLUMN analyst.model_metrics.n IS 'rows';
COMMENT ON COLUMN analyst.model_metrics.mae IS 'mean absolute error, in unit; empty for classes';
COMMENT ON COLUMN analyst.model_metrics.rmse IS 'root mean square error, in unit';
COMMENT ON COLUMN analyst.model_metrics.r2 IS 'share of variance explained, dimensionless';
COMMENT ON COLUMN analyst.model_metrics.accuracy IS 'share of rows named rightly; in a class: its recall';
COMMENT ON COLUMN analyst.model_metrics.balanced_accuracy IS 'mean over classes of the share named rightly';
COMMENT ON COLUMN analyst.model_metrics.coverage IS 'share of rows inside the 90 % interval, calibrated without them';
COMMENT ON COLUMN analyst.model_metrics.coverage_by_material IS 'the same, every pair of layers counting alike';
COMMENT ON COLUMN analyst.model_metrics.width IS 'mean half-width of the 90 % interval, in unit';
COMMENT ON COLUMN analyst.model_metrics.spread IS 'standard deviation of mae (classes: of accuracy) when folds and seeds are drawn again';
COMMENT ON COLUMN analyst.model_metrics.repeats IS 'draws of folds and seeds behind the spread';
COMMENT ON COLUMN analyst.model_metrics.beats_baseline IS 'whether the judged method errs less than every baseline here';
COMMENT ON COLUMN analyst.model_metrics.data_sha256 IS 'SHA-256 of the labelled rows, hexadecimal';
COMMENT ON COLUMN analyst.model_metrics.code_version IS 'version of Stackscreen that evaluated';
COMMENT ON COLUMN analyst.model_metrics.evaluated_at IS 'when';

CREATE VIEW analyst.model_curves AS
SELECT e.id AS evaluation, e.model_version_id AS model, e.target, p.unit, e.domain, e.split, c.method, c.kind, u.x, u.y,
       u.n
FROM model_curve c JOIN model_evaluation e ON e.id = c.evaluation_id
LEFT JOIN property p ON p.key = e.target
CROSS JOIN LATERAL unnest(c.x, c.y, c.n) AS u (x, y, n);
COMMENT ON VIEW analyst.model_curves IS 'Points of learning, calibration and parity curves of evaluations';
COMMENT ON COLUMN analyst.model_curves.evaluation IS 'number of the evaluation';
COMMENT ON COLUMN analyst.model_curves.model IS 'version of the model that it speaks of, if any';
COMMENT ON COLUMN analyst.model_curves.target IS 'key of the predicted property';
COMMENT ON COLUMN analyst.model_curves.unit IS 'unit of the target';
COMMENT ON COLUMN analyst.model_curves.domain IS 'homobilayer, heterobilayer or 2d-on-bulk';
COMMENT ON COLUMN analyst.model_curves.split IS 'what was kept out of training';
COMMENT ON COLUMN analyst.model_curves.method IS 'model or baseline';
COMMENT ON COLUMN analyst.model_curves.kind IS 'learning, calibration or parity';
COMMENT ON COLUMN analyst.model_curves.x IS 'learning: training materials; calibration: share asked for; parity: calculated value, in unit';
COMMENT ON COLUMN analyst.model_curves.y IS 'learning: mean absolute error, in unit; calibration: share covered; parity: predicted value, in unit';
COMMENT ON COLUMN analyst.model_curves.n IS 'learning: training rows; parity: rows in that cell of the grid';

CREATE VIEW analyst.model_features AS
SELECT e.id AS evaluation, e.model_version_id AS model, e.target, p.unit, e.domain, u.rank, u.feature, u.shap
FROM model_evaluation e LEFT JOIN property p ON p.key = e.target
CROSS JOIN LATERAL unnest(e.features, e.shap) WITH ORDINALITY AS u (feature, shap, rank);
COMMENT ON VIEW analyst.model_features IS 'What the trees of a model go by: SHAP values, exact, averaged over training rows';
COMMENT ON COLUMN analyst.model_features.evaluation IS 'number of the evaluation';
COMMENT ON COLUMN analyst.model_features.model IS 'version of the model that it speaks of, if any';
COMMENT ON COLUMN analyst.model_features.target IS 'key of the predicted property';
COMMENT ON COLUMN analyst.model_features.unit IS 'unit of shap';
COMMENT ON COLUMN analyst.model_features.domain IS 'homobilayer, heterobilayer or 2d-on-bulk';
COMMENT ON COLUMN analyst.model_features.rank IS '1 for the feature that matters most';
COMMENT ON COLUMN analyst.model_features.feature IS 'name of the pair feature';
COMMENT ON COLUMN analyst.model_features.shap IS 'mean absolute SHAP value, in unit';

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
