#include "layeravatar/prepare/build_dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/pickle_write.h"
#include "layeravatar/prepare/alignment.h"
#include "layeravatar/prepare/segment_views.h"
#include "layeravatar/prepare/split_dataset.h"

namespace layeravatar::prepare {
namespace {

namespace fs = std::filesystem;
using scan::ScanSet;

void copy_checked(const fs::path& from, const fs::path& to) {
  if (!fs::exists(from)) throw Error(ErrorKind::kInput, from.string() + ": no such file");
  std::error_code error;
  fs::copy_file(from, to, error);
  if (error) throw Error(ErrorKind::kOutput, fmt::format("{}: cannot copy to {}: {}", from.string(), to.string(), error.message()));
}

class Builder {
 public:
  explicit Builder(const BuildOptions& options) : options_(options) {
    if (!options.body.empty()) {
      model_ = body::read_smplx(options.body).model;
      if (options.set != ScanSet::kPlain && !options.absolute_hands) hands_ = body::read_hand_pca(options.body);
    } else if (options.set != ScanSet::kPlain && !options.absolute_hands) {
      throw Error(ErrorKind::kConfig, "no body model: its hand poses turn the fits' hands into rotations; give --body, or --absolute-hands");
    }
  }

  // `target` is the scene's folder.
  void build(const std::string& id, const fs::path& target, BuildReport& report) const {
    const ViewFolders views = find_views(options_.views / id);
    for (const std::string& name : views.names)
      for (const char* part : {"_0.png", "_1.png"})
        if (!fs::exists(views.root / "seg" / (name + part)))
          throw Error(ErrorKind::kInput, fmt::format("{}: view '{}' has no mask file; run segment first", views.root.string(), name));
    const fs::path fit = fit_file(options_, id);
    const body::PoseParams params = unified(fit, views);
    AtomicFolder scene(target);
    const fs::path& folder = scene.temporary();
    for (const char* part : {"rgb", "seg", "pose", "smplx"}) make_folder(folder / part);
    for (const std::string& name : views.names) {
      const fs::path calibration = views.calibration / (name + ".json");
      if (!fs::exists(calibration)) throw Error(ErrorKind::kInput, fmt::format("{}: view '{}' has no pose file", views.root.string(), name));
      copy_checked(views.image / (name + ".png"), folder / "rgb" / (name + ".png"));
      copy_checked(calibration, folder / "pose" / (name + ".json"));
      for (const char* part : {"_0.png", "_1.png"}) copy_checked(views.root / "seg" / (name + part), folder / "seg" / (name + part));
    }
    write_file(folder / "smplx/smplx_param.pkl", format_unified(params));
    if (fit.filename() != "smplx_param.pkl" && fit.filename() != "smplx_param.npy") copy_checked(fit, folder / "smplx" / fit.filename());
    std::optional<Alignment> alignment;
    if (model_) alignment = align(folder, *model_, params);
    if (options_.replace) scene.commit_over();
    else scene.commit();
    report.built.push_back(target);
    if (!alignment) return;
    report.alignment.push_back({id, alignment->iou, alignment->inside});
    if (!(alignment->iou >= options_.threshold && alignment->inside >= options_.inside)) report.under.push_back(id);
    if (!options_.report.empty()) io::write_png(options_.report / (id + ".png"), alignment->overlay, 1);
  }

 private:
  [[nodiscard]] body::PoseParams unified(const fs::path& fit, const ViewFolders& views) const {
    const auto source = scan::fit_source_of(options_.set);
    if (!source) return body::read_unified_params(fit);
    const body::SmplxFit read = body::read_fit(fit, *source);
    if (!hands_ && (read.left_hand.size() != 45 || read.right_hand.size() != 45))
      throw Error(ErrorKind::kInput, fit.string() + ": 'left_hand_pose' has 12 numbers; without the body model's hand poses expected 45");
    const fs::path calibration = views.calibration / (fs::exists(views.calibration / "000_000.json") ? "000_000.json" : views.names[0] + ".json");
    const auto centre = body::parse_calibration(read_file(calibration), calibration.string()).centre;
    return body::unify_fit(read, *source, hands_.value_or(body::HandPca{}), centre);
  }

  const BuildOptions& options_;
  std::optional<body::BodyModel> model_;
  std::optional<body::HandPca> hands_;
};

}  // namespace

void BuildOptions::check() const {
  if (!(threshold >= 0 && threshold <= 1)) throw Error(ErrorKind::kConfig, fmt::format("threshold = {}, must be 0..1", threshold));
  if (!(inside >= 0 && inside <= 1)) throw Error(ErrorKind::kConfig, fmt::format("inside = {}, must be 0..1", inside));
}

fs::path fit_file(const BuildOptions& options, const std::string& id) {
  if (options.set != ScanSet::kPlain) return scan::fit_file(options.views, options.set, options.fits, options.set != ScanSet::kThuman21, id);
  const fs::path fits = (options.fits.empty() ? options.views : options.fits) / id;
  return fs::exists(fits / "smplx_param.npy") ? fits / "smplx_param.npy" : fits / "smplx_param.pkl";
}

std::string format_unified(const body::PoseParams& p) {
  const auto row = [](const auto& values) { return io::make_array<float>({1, static_cast<std::int64_t>(values.size())}, values); };
  const std::array<float, 1> scale = {p.scale};
  return io::format_pickle({{"betas", row(p.betas)},
                            {"global_orient", row(p.global_orient)},
                            {"transl", row(p.transl)},
                            {"body_pose", row(p.body_pose)},
                            {"left_hand_pose", row(p.left_hand)},
                            {"right_hand_pose", row(p.right_hand)},
                            {"jaw_pose", row(p.jaw)},
                            {"leye_pose", row(p.leye)},
                            {"reye_pose", row(p.reye)},
                            {"expression", row(p.expression)},
                            {"scale", io::make_array<float>({1}, scale)}});
}

BuildReport build_dataset(const BuildOptions& options, const std::function<void(std::size_t, std::size_t)>& progress) {
  options.check();
  std::vector<std::string> ids = scans_with_views(options.views);
  std::erase_if(ids, [&](const std::string& id) { return !scan::belongs(options.set, id); });
  if (ids.empty()) throw Error(ErrorKind::kInput, fmt::format("{}: no scans of {}", options.views.string(), scan::name_of(options.set)));
  const Builder builder(options);
  make_folder(options.output);
  if (!options.report.empty()) make_folder(options.report);
  BuildReport report;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (progress) progress(i, ids.size());
    fs::path target = options.output / ids[i];
    for (const char* place : {kTrainFolder, kNovelFolder})
      if (fs::exists(options.output / place / ids[i])) target = options.output / place / ids[i];
    if (fs::exists(target) && !options.replace) {
      report.kept.push_back(ids[i]);
      continue;
    }
    try {
      builder.build(ids[i], target, report);
    } catch (const Error& e) {
      if (e.kind() == ErrorKind::kOutput) throw;
      report.failed.emplace_back(ids[i], e.what());
    }
  }
  if (progress) progress(ids.size(), ids.size());
  if (!options.report.empty()) {
    const fs::path file = options.report / "alignment.json";
    auto out = fs::exists(file) ? nlohmann::json::parse(read_file(file), nullptr, false) : nlohmann::json();  // of an earlier run
    if (!out.is_object() || !out["scenes"].is_object()) out = {{"scenes", nlohmann::json::object()}};
    for (const auto& [id, iou, inside] : report.alignment) out["scenes"][id] = {{"silhouette_iou", iou}, {"inside", inside}};
    write_file(file, out.dump(1) + "\n");
  }
  return report;
}

}  // namespace layeravatar::prepare
