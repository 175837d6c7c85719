// segment: part labels and masks of rendered views
#include <fmt/format.h>

#include "layeravatar/app/command.h"
#include "layeravatar/app/scan_flags.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/prepare/segment_views.h"
#include "layeravatar/prepare/part_network.h"

namespace layeravatar::app {
namespace {

struct Flags {
  std::filesystem::path views, network, labels, meshes;
  ScanFlags scans;
  prepare::PartNetworkOptions net;
  prepare::FuseOptions fuse;
  bool again = false, no_classes = false;
};

int segment(const Flags& flags, const Common& common) {
  if (!flags.network.empty() && !flags.labels.empty()) throw Error(ErrorKind::kUsage, "--network and --labels exclude each other");
  flags.fuse.check();
  const auto ids = prepare::scans_with_views(flags.views);
  std::optional<prepare::PartNetwork> network;
  if (!flags.network.empty()) {
    network.emplace(flags.network, torch::Device(common.device), flags.net);
    say(common, fmt::format("{}: SHA-256 {}", flags.network.string(), network->sha256()));
  }
  const scan::ScanSet set = flags.scans.set();
  std::optional<body::BodyModel> body;
  if (!flags.scans.body.empty()) body = body::read_smplx(flags.scans.body).model;
  std::vector<std::filesystem::path> written;
  std::vector<std::string> failed;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::filesystem::path scan = flags.views / ids[i];
    try {
      const prepare::ViewFolders views = prepare::find_views(scan);
      if (!flags.again && prepare::has_masks(views)) {
        say(common, fmt::format("{}/{} {}: has masks already", i + 1, ids.size(), ids[i]));
        continue;
      }
      prepare::SegmentOptions options;
      options.network = network ? &*network : nullptr;
      if (!flags.labels.empty()) options.labels = flags.labels / ids[i];
      options.fuse = flags.fuse;
      options.keep_classes = !flags.no_classes;
      std::optional<prepare::Surface> surface;
      if (!flags.meshes.empty()) surface = prepare::read_surface(flags.meshes, ids[i], set, flags.scans.fits, flags.scans.refined, body ? &*body : nullptr);
      options.surface = surface ? &*surface : nullptr;
      const prepare::SegmentReport report = prepare::segment_views(scan, options);
      warn(ids[i] + ": ", report.warnings);
      say(common, fmt::format("{}/{} {}: {} views{}", i + 1, ids.size(), ids[i], report.views,
                              surface ? fmt::format(", fusion changed {:.2f} % of the labels", 100 * report.changed) : ""));
      written.push_back(views.root / "seg");
    } catch (const Error& e) {
      if (e.kind() != ErrorKind::kInput) throw;
      failed.push_back(e.what());
      warn("", {ids[i] + ": " + e.what()});
    }
  }
  report_files(common, written);
  if (failed.empty()) return 0;
  if (ids.size() == 1) throw Error(ErrorKind::kInput, failed[0]);
  throw Error(ErrorKind::kPartial, fmt::format("{} of {} scans failed", failed.size(), ids.size()));
}

}  // namespace

void add_segment(CLI::App& app, const Common& common, Chosen& chosen) {
  auto o = std::make_shared<Flags>();
  auto* command = app.add_subcommand("segment",
                                     "Part labels and packed masks of rendered views: of a TorchScript network, of its saved classes (mask/NAME_seg.npy), or of "
                                     "label images.\nExample: layeravatar segment scans --network sapiens_1b_torchscript.pt2");
  command->add_option("views", o->views, "folder of the scans, each with 18views_3_wbg/image")->required();
  command->add_option("--network", o->network, "TorchScript network of 28 classes; it is a program: take only one that you trust");
  command->add_option("--labels", o->labels, "read label images LABELS/<scan>/NAME.png of values 0..5 instead");
  command->add_option("--fuse", o->meshes, "vote over all views on the scans FUSE/<scan>/, or on meshes FUSE/<scan>.obj that lie in the views' frame");
  add_scan_flags(*command, o->scans);
  add_refined_flag(*command, o->scans);
  command->add_option("--smoothing", o->fuse.smoothing, "rounds of smoothing on the mesh");
  command->add_option("--keep", o->fuse.keep, "share 0..1 of each picture's own label in the vote of its pixel");
  command->add_option("--batch", o->net.batch, "pictures at once");
  command->add_option("--net-height", o->net.height, "pixels of the network's input");
  command->add_option("--net-width", o->net.width, "pixels of the network's input");
  command->add_flag("--no-classes", o->no_classes, "do not keep the network's classes in mask/");
  command->add_flag("--again", o->again, "also scans that have masks");
  command->callback([=, &common, &chosen] { chosen.run = [=, &common] { return segment(*o, common); }; });
}

}  // namespace layeravatar::app
