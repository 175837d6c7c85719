// Where the data sets keep their scans and fits, and how a fit brings a scan into the body's frame
// (spec/body_and_data.md sections 11.1, 11.2).
#pragma once
#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "layeravatar/body/smplx_format.h"
#include "layeravatar/scan/scan_mesh.h"

namespace layeravatar::scan {

/// kPlain: scans that lie in the world already and have no fits.
enum class ScanSet { kThuman20, kThuman21, kCustomHumans, kPlain };

/// "thuman2.0", "thuman2.1", "custom", "plain"; Error(kConfig) for any other name.
ScanSet scan_set_of(const std::string& name);
std::string name_of(ScanSet set);

struct ScanFiles {
  std::string id;
  std::filesystem::path folder, mesh, fit;  // mesh: empty where the folder holds none; fit: empty for kPlain
};

/// One per folder in `scans` that belongs to the set, sorted. The mesh is <id>.obj, mesh-f<last
/// five digits>.obj or the same with .glb, or else the only file of these kinds. `fits` empty: where the sets have them,
///   thuman2.0  <scans>/../THUman20_Smpl-X/<id>/smplx_param.pkl
///   thuman2.1  <scans>/../smplx/<id>/smplx_param.pkl
///   custom     <scans>/../smplx/<id>/mesh-f<last five digits>.json
/// `refined` takes smplx_param_refine.pkl and mesh-f<...>_refine.json. Throws Error(kInput) when the folder cannot be
/// opened or holds no scan.
std::vector<ScanFiles> find_scans(const std::filesystem::path& scans, ScanSet set, const std::filesystem::path& fits = {},
                                  bool refined = false);

/// Whether a scan of this name is one of the set: of THuman2.1 those whose number is 526 or more.
bool belongs(ScanSet set, const std::string& id);

/// Where the set has the fit of a scan, see find_scans.
std::filesystem::path fit_file(const std::filesystem::path& scans, ScanSet set, const std::filesystem::path& fits, bool refined,
                               const std::string& id);

/// The files of one scan, see find_scans.
ScanFiles scan_files(const std::filesystem::path& scans, ScanSet set, const std::filesystem::path& fits, bool refined, const std::string& id);

/// The source whose rules unify the fit; nothing for kPlain.
std::optional<body::FitSource> fit_source_of(ScanSet set);

/// Moves the vertices into the world of the body's frame, metres, and returns the translation that the body model needs:
///   thuman2.0  (v - translation) / scale + o                        o = (0, 0.35, 0), which is returned
///   thuman2.1  R^T ((v - translation) / scale - J) + J + o          R of global_orient, J the rest pelvis; o is returned
///   custom     v + (0, 0.1, 0)                                      -J + (0, 0.1, 0) is returned
///   plain      v                                                    o is returned
/// `model` gives J and may be null for the others. Throws Error(kInput) without "<file>: " when the fit lacks what is
/// needed, the scale is not positive, or the result reaches farther than 3 m from the origin; Error(kConfig) when the
/// model is missing.
std::array<double, 3> normalise(std::vector<Point>& vertices, ScanSet set, const body::SmplxFit& fit, const body::BodyModel* model);

/// A scan in the world of the body's frame.
struct NormalisedScan {
  ScanMesh mesh;
  body::SmplxFit fit;               // empty for kPlain
  std::array<double, 3> centre{};  // what normalise returns
};

/// Reads mesh and fit and normalises. Throws Error(kInput) naming the file, Error(kConfig) when the model is missing.
NormalisedScan read_normalised(const ScanFiles& scan, ScanSet set, const body::BodyModel* model);

/// Share of the posed model's vertices that lie within 3 cm of the scan's surface: below a half, the fit belongs to
/// another scan or frame.
double share_near(const ScanMesh& mesh, const body::PosedBody& posed);

}  // namespace layeravatar::scan
