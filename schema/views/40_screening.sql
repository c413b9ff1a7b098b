CREATE VIEW analyst.candidates AS
SELECT b.uid AS bottom_uid, t.uid AS top_uid, b.formula AS bottom, t.formula AS top, c.kind, c.n, c.m,
       c.strain * 100 AS strain, c.strain_bottom * 100 AS strain_bottom, c.strain_top * 100 AS strain_top,
       c.strain_von_mises * 100 AS strain_von_mises, c.area, c.n_atoms,
       r.edges, c.alignment, c.gap_anderson, c.valence_offset, c.conduction_offset,
       c.alignments, c.gap_anderson_low, c.gap_anderson_high,
       c.work_function_difference, c.electron_donor, c.vacuum_step, c.schottky_electron, c.schottky_hole,
       c.solar_efficiency * 100 AS solar_efficiency, c.distance_vdw, c.dispersion_energy,
       c.binding_energy, c.binding_energy_lower, c.binding_energy_upper,
       c.distance, c.distance_lower, c.distance_upper, c.gap, c.gap_lower, c.gap_upper,
       c.domain_distance, c.hull_energy, c.score, r.id AS run_id
FROM screening_run r
JOIN candidate c ON c.run_id = r.space_id AND c.since <= r.id AND (c.until IS NULL OR c.until > r.id)
JOIN screening_member b ON b.run_id = c.run_id AND b.member = c.bottom
JOIN screening_member t ON t.run_id = c.run_id AND t.member = c.top
WHERE r.state = 'published';

COMMENT ON VIEW analyst.candidates IS 'Pairs of the published run that passed its physical filter; binding energy, distance and gap are model predictions with 90 % intervals';
COMMENT ON COLUMN analyst.candidates.bottom_uid IS 'material or surface below';
COMMENT ON COLUMN analyst.candidates.top_uid IS 'material above';
COMMENT ON COLUMN analyst.candidates.bottom IS 'reduced formula below';
COMMENT ON COLUMN analyst.candidates.top IS 'reduced formula above';
COMMENT ON COLUMN analyst.candidates.kind IS 'homobilayer, heterobilayer or 2d-on-bulk';
COMMENT ON COLUMN analyst.candidates.n IS 'cells of the bottom in the supercell';
COMMENT ON COLUMN analyst.candidates.m IS 'cells of the top in the supercell';
COMMENT ON COLUMN analyst.candidates.strain IS '%, largest principal Hencky strain of the whole misfit';
COMMENT ON COLUMN analyst.candidates.strain_bottom IS '%, part of strain that the bottom carries: by stiffness where that of both layers is known, else half; 0 for a crystal, whose film gives way';
COMMENT ON COLUMN analyst.candidates.strain_top IS '%, part of strain that the top carries';
COMMENT ON COLUMN analyst.candidates.strain_von_mises IS '%, von Mises strain of the whole misfit';
COMMENT ON COLUMN analyst.candidates.area IS 'Å², matched supercell, each side strained by its part';
COMMENT ON COLUMN analyst.candidates.n_atoms IS 'atoms in the supercell';
COMMENT ON COLUMN analyst.candidates.edges IS 'functional of all band edges, gaps and work functions of the row: PBE, HSE06 or G0W0';
COMMENT ON COLUMN analyst.candidates.alignment IS 'I, II, III or metal, by Anderson''s rule on facing faces, edges by the functional in edges';
COMMENT ON COLUMN analyst.candidates.gap_anderson IS 'eV, gap by Anderson''s rule on facing faces; PBE gaps are too small';
COMMENT ON COLUMN analyst.candidates.valence_offset IS 'eV, valence edge of the top minus that of the bottom';
COMMENT ON COLUMN analyst.candidates.conduction_offset IS 'eV, conduction edge of the top minus that of the bottom';
COMMENT ON COLUMN analyst.candidates.alignments IS 'alignment with neither layer turned over, the bottom, the top, both: II I II III; null where the faces of neither differ or an edge is unknown';
COMMENT ON COLUMN analyst.candidates.gap_anderson_low IS 'eV, smallest Anderson gap of the four orientations';
COMMENT ON COLUMN analyst.candidates.gap_anderson_high IS 'eV, largest Anderson gap of the four orientations';
COMMENT ON COLUMN analyst.candidates.work_function_difference IS 'eV, top minus bottom, facing faces';
COMMENT ON COLUMN analyst.candidates.electron_donor IS 'bottom or top: side of the smaller work function, which gives electrons on contact; of two semiconductors only the sense of the interface dipole';
COMMENT ON COLUMN analyst.candidates.vacuum_step IS 'eV, vacuum level above the stack minus that below it, from the layers'' own dipoles; the interface''s dipole is left out';
COMMENT ON COLUMN analyst.candidates.schottky_electron IS 'eV, barrier for electrons, Schottky-Mott limit; negative is ohmic; null unless one layer is a metal and the other is not';
COMMENT ON COLUMN analyst.candidates.schottky_hole IS 'eV, barrier for holes, Schottky-Mott limit; negative is ohmic; null unless one layer is a metal and the other is not';
COMMENT ON COLUMN analyst.candidates.solar_efficiency IS '%, upper limit of solar power conversion of a type II pair, Scharber et al. 2006, AM1.5G; PBE gaps are too small, which makes it unreliable: see docs/ranking.md';
COMMENT ON COLUMN analyst.candidates.distance_vdw IS 'Å, sum of van der Waals radii of the facing atoms';
COMMENT ON COLUMN analyst.candidates.dispersion_energy IS 'meV/Å², C6 pair potential of the facing faces at its minimum; positive = bound, uncalibrated: binding_energy is calibrated';
COMMENT ON COLUMN analyst.candidates.binding_energy IS 'meV/Å², predicted, positive = bound';
COMMENT ON COLUMN analyst.candidates.binding_energy_lower IS 'meV/Å², lower end of the 90 % interval';
COMMENT ON COLUMN analyst.candidates.binding_energy_upper IS 'meV/Å², upper end of the 90 % interval';
COMMENT ON COLUMN analyst.candidates.distance IS 'Å, predicted interlayer distance';
COMMENT ON COLUMN analyst.candidates.distance_lower IS 'Å, lower end of the 90 % interval';
COMMENT ON COLUMN analyst.candidates.distance_upper IS 'Å, upper end of the 90 % interval';
COMMENT ON COLUMN analyst.candidates.gap IS 'eV, predicted PBE gap';
COMMENT ON COLUMN analyst.candidates.gap_lower IS 'eV, lower end of the 90 % interval';
COMMENT ON COLUMN analyst.candidates.gap_upper IS 'eV, upper end of the 90 % interval';
COMMENT ON COLUMN analyst.candidates.domain_distance IS 'distance to the training materials; above 1 is outside the applicability domain';
COMMENT ON COLUMN analyst.candidates.hull_energy IS 'eV/atom, larger of the two layers'' energies above the hull';
COMMENT ON COLUMN analyst.candidates.score IS '0 to 1, ranking score: see docs/ranking.md';
COMMENT ON COLUMN analyst.candidates.run_id IS 'screening run';

-- The members of each run: those of its space that came no later and have not gone.
CREATE VIEW analyst.run_members AS
SELECT r.id AS run_id, s.member, s.uid, s.formula, s.surface_id IS NOT NULL AS surface, s.n_atoms,
       exp(s.ln_area) AS area, s.since
FROM screening_run r
JOIN screening_member s ON s.run_id = r.space_id AND s.since <= r.id AND (s.until IS NULL OR s.until > r.id);
COMMENT ON VIEW analyst.run_members IS 'Layers and surfaces of each screening run';
COMMENT ON COLUMN analyst.run_members.run_id IS 'screening run';
COMMENT ON COLUMN analyst.run_members.member IS 'number of the member in the runs of its space';
COMMENT ON COLUMN analyst.run_members.uid IS 'stable name of the material, with the Miller plane for a surface';
COMMENT ON COLUMN analyst.run_members.formula IS 'reduced formula';
COMMENT ON COLUMN analyst.run_members.surface IS 'whether it is a surface of a bulk phase';
COMMENT ON COLUMN analyst.run_members.n_atoms IS 'atoms per cell; of the whole slab for a surface';
COMMENT ON COLUMN analyst.run_members.area IS 'Å², cell';
COMMENT ON COLUMN analyst.run_members.since IS 'run that brought it, as it is';

-- Tiles: see pair_tile and pair_tile_level. These three are put into the plan of whoever calls them, so they set nothing.
-- substring before get_byte: of columns that are stored out of line, only the wanted bytes are read.
CREATE FUNCTION analyst.unpacked(
    packed_n bytea, packed_m bytea, packed_strain bytea, packed_score bytea, element integer
)
RETURNS TABLE (n integer, m integer, strain integer, score integer)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT get_byte(substring(packed_n FROM element + 1 FOR 1), 0),
           get_byte(substring(packed_m FROM element + 1 FOR 1), 0),
           get_byte(substring(packed_strain FROM 2 * element + 1 FOR 2), 0)
               + 256 * get_byte(substring(packed_strain FROM 2 * element + 1 FOR 2), 1),
           get_byte(substring(packed_score FROM 2 * element + 1 FOR 2), 0)
               + 256 * get_byte(substring(packed_score FROM 2 * element + 1 FOR 2), 1)
$$;
COMMENT ON FUNCTION analyst.unpacked(bytea, bytea, bytea, bytea, integer) IS
'One element, counted from 0, of the packed columns of a tile: cells n and m, strain in 1e-6, geometric score in 1/65535';

CREATE FUNCTION analyst.kept_element(kept bytea, pair integer)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN get_bit(substring(kept FROM pair / 8 + 1 FOR 1), pair % 8) = 1
                THEN (bit_count(substring(kept FROM 1 FOR pair / 8))
                      + bit_count(get_byte(substring(kept FROM pair / 8 + 1 FOR 1), 0)::bit(8)
                                  & ((1 << pair % 8) - 1)::bit(8)))::integer END
$$;
COMMENT ON FUNCTION analyst.kept_element(bytea, integer) IS
'Where a strain level keeps a pair of its tile, counted from 0: the number of bits set before the pair''s own; null where that is not set';

CREATE FUNCTION analyst.kept_within(run integer, tile_row integer, tile_col_from integer, pair integer, most integer)
RETURNS TABLE (n integer, m integer, strain integer, score integer)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT u.n, u.m, u.strain, u.score
    FROM public.pair_tile_level l
    CROSS JOIN LATERAL (SELECT analyst.kept_element(l.kept, pair) AS element) AS own
    CROSS JOIN LATERAL analyst.unpacked(l.n, l.m, l.strain, l.score, own.element) AS u
    WHERE l.run_id = run AND l.row = tile_row AND l.col_from = tile_col_from
      AND own.element IS NOT NULL AND u.strain <= most
    ORDER BY l.max_strain DESC
    LIMIT 1
$$;
COMMENT ON FUNCTION analyst.kept_within(integer, integer, integer, integer, integer) IS
'What the strain levels keep of one pair of a tile within a strain in 1e-6: the widest level''s supercell that lies within; no row where none does';

-- Any pair of any run whose tiles are kept, also those that are no candidates, straight from the packed tiles.
CREATE FUNCTION analyst.pairs_of_member(run integer, number integer, max_strain double precision DEFAULT NULL)
RETURNS TABLE (partner integer, below boolean, n integer, m integer, strain integer, score integer)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH me AS (
        -- 65535 is no match: within it is every pair as it is
        SELECT s.*, r.id AS asked, coalesce(greatest(least(floor($3 * 1e4 + 1e-6), 65534), -1), 65535)::integer AS most
        FROM screening_run r
        JOIN screening_member s ON s.run_id = r.space_id AND s.since <= r.id AND (s.until IS NULL OR s.until > r.id)
        WHERE r.id = run AND s.member = number
    ), own AS MATERIALIZED (
        -- || brings a tile that is stored out of line into memory once, not once an element
        SELECT t.run_id, t.row, t.col_from, t.n_pairs, t.n || ''::bytea AS n, t.m || ''::bytea AS m,
               t.strain || ''::bytea AS strain, t.score || ''::bytea AS score
        FROM me JOIN pair_tile t ON t.run_id = me.since AND t.row = me.member
    ), found AS (
        -- whole tiles of its own row
        SELECT t.col_from + k AS partner, t.run_id, t.row, t.col_from, k, u.n, u.m, u.strain, u.score
        FROM own t
        CROSS JOIN LATERAL generate_series(0, t.n_pairs - 1) AS k
        CROSS JOIN LATERAL analyst.unpacked(t.n, t.m, t.strain, t.score, k) AS u
        UNION ALL
        -- one element of each tile whose columns hold it: the earlier ones it was founded with, and later members'
        SELECT t.row, t.run_id, t.row, t.col_from, k, u.n, u.m, u.strain, u.score
        FROM me
        JOIN screening_run r ON r.space_id = me.run_id AND r.id <= me.asked
        JOIN pair_tile t ON t.run_id = r.id AND t.row <> me.member
         AND me.member >= t.col_from AND me.member < t.col_from + t.n_pairs
        CROSS JOIN LATERAL (SELECT me.member - t.col_from AS k) AS place
        CROSS JOIN LATERAL analyst.unpacked(t.n, t.m, t.strain, t.score, k) AS u
    )
    SELECT f.partner,
           CASE WHEN (me.surface_id IS NULL) = (p.surface_id IS NULL) THEN me.material_id <= p.material_id
                ELSE me.surface_id IS NOT NULL END,
           CASE WHEN f.strain <= me.most THEN f.n ELSE coalesce(kept.n, 0) END,
           CASE WHEN f.strain <= me.most THEN f.m ELSE coalesce(kept.m, 0) END,
           CASE WHEN f.strain <= me.most THEN f.strain ELSE coalesce(kept.strain, 65535) END,
           CASE WHEN f.strain <= me.most THEN f.score ELSE coalesce(kept.score, 0) END
    FROM me
    CROSS JOIN found f
    JOIN screening_member p ON p.run_id = me.run_id AND p.member = f.partner
     AND p.since <= me.asked AND (p.until IS NULL OR p.until > me.asked)
    LEFT JOIN LATERAL analyst.kept_within(f.run_id, f.row, f.col_from, f.k, me.most) AS kept
      ON f.strain > me.most AND f.strain < 65535
    WHERE me.surface_id IS NULL OR p.surface_id IS NULL
$$;
COMMENT ON FUNCTION analyst.pairs_of_member(integer, integer, double precision) IS
'All pairs of one member of a run, by number, as packed in its tiles: partner, whether the member lies below it, cells n (bottom) and m (top) of the smallest supercell (0 = none within the limits), strain in 1e-6 (65535 = none), geometric score in 1/65535; with max_strain in %, of the smallest supercell kept within it: exact at the run''s limit and its strain_levels, between two of them it may miss a larger one; no row where the run''s tiles were dropped';

CREATE FUNCTION analyst.pairs_of(material_uid text, max_strain double precision DEFAULT NULL)
RETURNS TABLE (partner_uid text, partner text, below boolean, n integer, m integer, strain double precision, score double precision)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    SELECT p.uid, p.formula, f.below, f.n, f.m, nullif(f.strain, 65535) / 1e4::double precision,
           f.score / 65535::double precision
    FROM screening_run r
    JOIN screening_member me ON me.run_id = r.space_id AND me.uid = material_uid
     AND me.since <= r.id AND (me.until IS NULL OR me.until > r.id)
    CROSS JOIN LATERAL analyst.pairs_of_member(r.id, me.member, $2) f
    JOIN screening_member p ON p.run_id = r.space_id AND p.member = f.partner
    WHERE r.state = 'published'
$$;
COMMENT ON FUNCTION analyst.pairs_of(text, double precision) IS
'All pairs of one material in the published run: partner, whether the material lies below it, cells n (bottom) and m (top) of the smallest supercell (0 = none within the limits), strain in % (largest principal Hencky strain), geometric score 0 to 1; with max_strain in %, of the smallest supercell kept within it: exact at the run''s limit and its strain_levels (analyst.runs), between two of them it may miss a larger one';

CREATE FUNCTION analyst.pair(one_uid text, other_uid text, max_strain double precision DEFAULT NULL)
RETURNS TABLE (bottom_uid text, top_uid text, bottom text, top text, n integer, m integer, strain double precision,
               n_atoms integer, area double precision, score double precision)
LANGUAGE sql STABLE PARALLEL SAFE SECURITY DEFINER SET search_path = public, pg_temp
AS $$
    WITH sides AS (
        SELECT s.*, r.id AS asked
        FROM screening_run r
        JOIN screening_member s ON s.run_id = r.space_id AND s.since <= r.id AND (s.until IS NULL OR s.until > r.id)
        WHERE r.state = 'published' AND s.uid IN (one_uid, other_uid)
    ), ordered AS (
        -- a surface lies below, and of two layers the older material
        SELECT b.uid AS bottom_uid, u.uid AS top_uid, b.formula AS bottom, u.formula AS top,
               b.n_atoms AS atoms_below, u.n_atoms AS atoms_above,
               exp(b.ln_area) AS area_below, exp(u.ln_area) AS area_above,
               -- the part of the misfit that the bottom carries
               CASE WHEN b.surface_id IS NOT NULL THEN 0
                    ELSE coalesce(u.stiffness / (b.stiffness + u.stiffness), 0.5) END AS part,
               -- the tile is that of the one that came later; of two that came together with the space, the lower's
               CASE WHEN greatest(b.since, u.since) = b.run_id THEN b.member ELSE greatest(b.member, u.member) END AS row,
               CASE WHEN greatest(b.since, u.since) = b.run_id THEN u.member ELSE least(b.member, u.member) END AS col,
               greatest(b.since, u.since) AS made_by,
               coalesce(greatest(least(floor($3 * 1e4 + 1e-6), 65534), -1), 65535)::integer AS most
        FROM sides b
        JOIN sides u ON u.run_id = b.run_id AND (b.uid, u.uid) IN ((one_uid, other_uid), (other_uid, one_uid))
        WHERE u.surface_id IS NULL AND (b.surface_id IS NOT NULL OR b.material_id <= u.material_id)
    ), tile AS (
        SELECT o.*, t.col_from, o.col - t.col_from AS k, u.n, u.m, u.strain, u.score
        FROM ordered o
        JOIN pair_tile t ON t.run_id = o.made_by AND t.row = o.row
         AND o.col >= t.col_from AND o.col < t.col_from + t.n_pairs
        CROSS JOIN LATERAL analyst.unpacked(t.n, t.m, t.strain, t.score, o.col - t.col_from) AS u
    ), found AS (
        SELECT t.bottom_uid, t.top_uid, t.bottom, t.top, t.atoms_below, t.atoms_above, t.area_below, t.area_above,
               t.part, within.n, within.m, within.strain, within.score
        FROM tile t
        CROSS JOIN LATERAL (
            SELECT t.n, t.m, t.strain, t.score WHERE t.strain <= t.most
            UNION ALL
            SELECT coalesce(kept.n, 0), coalesce(kept.m, 0), coalesce(kept.strain, 65535), coalesce(kept.score, 0)
            FROM (SELECT) AS always
            LEFT JOIN analyst.kept_within(t.made_by, t.row, t.col_from, t.k, t.most) AS kept ON true
            WHERE t.strain > t.most
        ) AS within
    )
    SELECT bottom_uid, top_uid, bottom, top, n, m, nullif(strain, 65535) / 1e4::double precision,
           CASE WHEN n > 0 THEN n * atoms_below + m * atoms_above END,
           CASE WHEN n > 0 THEN power(n * area_below, 1 - part) * power(m * area_above, part) END,
           score / 65535::double precision
    FROM found
$$;
COMMENT ON FUNCTION analyst.pair(text, text, double precision) IS
'One pair of the published run, candidate or not, whichever way round it is named: cells n (bottom) and m (top) of the smallest supercell (0 = none within the limits), strain in % (largest principal Hencky strain), atoms and area in Å² of the supercell, geometric score 0 to 1; with max_strain in %, of the smallest supercell kept within it: exact at the run''s limit and its strain_levels (analyst.runs), between two of them it may miss a larger one; no row where the run has no such pair';

CREATE VIEW analyst.runs AS
SELECT r.id, r.state, r.n_monolayers, r.n_surfaces, r.n_pairs, r.n_matched, r.n_candidates,
       r.max_strain * 100 AS max_strain, r.max_area, r.max_atoms, r.candidate_rule, r.edges, r.created_at, r.published_at,
       b.blocks, b.blocks_done, b.block_seconds, r.base_run_id AS continues, r.matched_run_id AS matches_of,
       ARRAY(SELECT 100 * level FROM unnest(r.strain_levels) AS level ORDER BY level) AS strain_levels
FROM screening_run r
LEFT JOIN LATERAL (
    SELECT count(*) AS blocks, count(*) FILTER (WHERE state = 'done') AS blocks_done, sum(seconds) AS block_seconds
    FROM pair_block WHERE run_id = r.id
) b ON true;
COMMENT ON VIEW analyst.runs IS 'Screens of the pair space';
COMMENT ON COLUMN analyst.runs.id IS 'number of the run';
COMMENT ON COLUMN analyst.runs.state IS 'planned, running, published, superseded or failed';
COMMENT ON COLUMN analyst.runs.n_monolayers IS 'layers in the run';
COMMENT ON COLUMN analyst.runs.n_surfaces IS 'surfaces of bulk phases in the run';
COMMENT ON COLUMN analyst.runs.n_pairs IS 'pairs in the run';
COMMENT ON COLUMN analyst.runs.n_matched IS 'pairs with a coincidence lattice within the limits';
COMMENT ON COLUMN analyst.runs.n_candidates IS 'pairs that passed the candidate rule';
COMMENT ON COLUMN analyst.runs.max_strain IS '%, largest principal Hencky strain allowed';
COMMENT ON COLUMN analyst.runs.max_area IS 'Å², largest supercell allowed';
COMMENT ON COLUMN analyst.runs.max_atoms IS 'most atoms allowed in a supercell';
COMMENT ON COLUMN analyst.runs.candidate_rule IS 'the physical filter of candidates';
COMMENT ON COLUMN analyst.runs.edges IS 'functional of all band edges, gaps and work functions: PBE, HSE06 or G0W0';
COMMENT ON COLUMN analyst.runs.created_at IS 'when it was planned';
COMMENT ON COLUMN analyst.runs.published_at IS 'when readers began to see it';
COMMENT ON COLUMN analyst.runs.blocks IS 'blocks of work';
COMMENT ON COLUMN analyst.runs.blocks_done IS 'blocks finished';
COMMENT ON COLUMN analyst.runs.block_seconds IS 's, sum of the blocks'' times';
COMMENT ON COLUMN analyst.runs.continues IS 'earlier run all of whose unchanged pairs it shows as they are; null if it computed every pair';
COMMENT ON COLUMN analyst.runs.matches_of IS 'earlier run whose coincidence lattices it took over; null if it searched for them';

COMMENT ON COLUMN analyst.runs.strain_levels IS '%, tighter limits of strain, within each of which the smallest supercell of a pair is kept too';

CREATE FUNCTION analyst.strain_histogram(
    material_uid text, bins integer DEFAULT 20, max_strain double precision DEFAULT NULL
)
RETURNS TABLE (strain_from double precision, strain_to double precision, pairs bigint)
LANGUAGE sql STABLE PARALLEL SAFE SET search_path = public, pg_temp
AS $$
    WITH limits AS (
        SELECT greatest(least(r.max_strain, $3), 1e-4) AS max_strain, least(greatest(coalesce(bins, 20), 1), 1000) AS n
        FROM analyst.runs r WHERE r.state = 'published'
    ), found AS MATERIALIZED (
        -- strain is known to 1e-4 %, so that a pair at the limit may lie a hair above it
        SELECT CASE WHEN p.n > 0 THEN least(width_bucket(p.strain, 0, l.max_strain, l.n), l.n) END AS bin
        FROM analyst.pairs_of(material_uid, $3) p CROSS JOIN limits l
    ), counted AS (
        SELECT bin, count(*) AS pairs FROM found WHERE bin IS NOT NULL GROUP BY bin
    )
    SELECT (k - 1) * l.max_strain / l.n, k * l.max_strain / l.n, coalesce(c.pairs, 0)
    FROM limits l CROSS JOIN LATERAL generate_series(1, l.n) AS k LEFT JOIN counted c ON c.bin = k
    WHERE EXISTS (SELECT FROM found)
    ORDER BY k
$$;
COMMENT ON FUNCTION analyst.strain_histogram(text, integer, double precision) IS
'How the matched pairs of one material in the published run are distributed over strain: from 0 to the run''s largest strain, or to max_strain in % and then by the smallest supercell kept within it (as analyst.pairs_of), in equal bins (1 to 1000; default 20), ends in %, a bin holding its lower end; pairs without a match are in none; no row for an unknown material';
