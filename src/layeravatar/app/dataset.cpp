// dataset: build, split, check, stats
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "layeravatar/app/command.h"
#include "layeravatar/app/scan_flags.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/prepare/build_dataset.h"
#include "layeravatar/prepare/check_dataset.h"
#include "layeravatar/prepare/inception_statistics.h"
#include "layeravatar/prepare/split_dataset.h"

namespace layeravatar::app {
namespace {

namespace fs = std::filesystem;

struct Flags {
  prepare::BuildOptions build;
  prepare::CheckOptions check;
  ScanFlags scans;
  fs::path folder, list, output, network;
  bool dry_run = false;
  int batch = 32;
};

int build(Flags flags, const Common& common) {
  flags.build.set = flags.scans.set();
  flags.build.fits = flags.scans.fits;
  flags.build.body = flags.scans.body;
  const auto report = prepare::build_dataset(flags.build, [&](std::size_t done, std::size_t total) {
    if (done % 16 == 0 || done == total) say(common, fmt::format("{}/{} scenes", done, total));
  });
  for (const auto& [id, reason] : report.failed) warn("", {id + ": " + reason});
  if (!report.kept.empty()) say(common, fmt::format("{} scenes were there already", report.kept.size()));
  for (const auto& [id, iou, inside] : report.alignment) say(common, fmt::format("{}: silhouette IoU {:.3f}, {:.1f} % of the body inside the picture's", id, iou, 100 * inside));
  if (!report.under.empty()) warn("", {fmt::format("bodies that are not where the pictures show them, {} of {}: {}", report.under.size(), report.alignment.size(), fmt::join(report.under, " "))});
  report_files(common, report.built);
  const std::size_t all = report.built.size() + report.kept.size() + report.failed.size();
  if (report.failed.empty()) return 0;
  if (all == 1) throw Error(ErrorKind::kInput, report.failed[0].second);
  throw Error(ErrorKind::kPartial, fmt::format("{} of {} scenes failed", report.failed.size(), all));
}

int split(const Flags& flags, const Common& common) {
  const auto list = data::parse_split_list(read_file(flags.list), flags.list.string());
  const auto plan = prepare::plan_split(flags.folder, list, flags.list.string());
  warn("", plan.warnings);
  if (!flags.dry_run) prepare::split_dataset(flags.folder, plan);
  if (common.json) {
    std::puts(nlohmann::json{{"train", plan.train}, {"novel", plan.novel}, {"settled", plan.settled}, {"dry_run", flags.dry_run}}.dump().c_str());
    return 0;
  }
  if (flags.dry_run) {
    for (const auto& id : plan.train) std::puts((id + " -> human_train").c_str());
    for (const auto& id : plan.novel) std::puts((id + " -> human_novel").c_str());
  }
  say(common, fmt::format("{}{} to human_train, {} to human_novel, {} in place", flags.dry_run ? "would move " : "", plan.train.size(), plan.novel.size(), plan.settled));
  return 0;
}

int check(const Flags& flags, const Common& common) {
  const auto rows = prepare::check_dataset(flags.folder, flags.check, [&](std::size_t done, std::size_t total) {
    if (done % 64 == 0) say(common, fmt::format("{}/{} scenes", done, total));
  });
  if (!flags.output.empty()) write_file(flags.output, prepare::html_sheet(flags.folder.string(), rows));
  std::size_t bad = 0;
  nlohmann::json out = nlohmann::json::array();
  for (const auto& row : rows) {
    bad += row.problems.empty() ? 0 : 1;
    out.push_back({{"id", row.id}, {"views", row.views}, {"size", row.size}, {"shares", row.shares}, {"problems", row.problems}});
    for (std::size_t i = 1; i < row.problems.size() && !common.json; ++i) warn("", {row.id + ": " + row.problems[i]});
  }
  std::fputs(common.json ? (out.dump() + "\n").c_str() : prepare::text_table(rows).c_str(), stdout);
  if (bad == 0) return 0;
  throw Error(bad == rows.size() ? ErrorKind::kInput : ErrorKind::kPartial, fmt::format("{} of {} scenes have problems", bad, rows.size()));
}

int stats(const Flags& flags, const Common& common) {
  auto network = nn::load_script(flags.network, torch::Device(common.device));
  say(common, fmt::format("{}: SHA-256 {}", network.file, network.sha256));
  const auto pictures = prepare::training_pictures(flags.folder);
  const auto statistics = prepare::inception_statistics(network, pictures, flags.batch, [&](std::size_t done, std::size_t total) {
    if (done == total || done % static_cast<std::size_t>(32 * flags.batch) == 0) say(common, fmt::format("{}/{} pictures", done, total));
  });
  fs::path pickle = flags.output, npz = flags.output;
  pickle.replace_extension(".pkl");
  npz.replace_extension(".npz");
  prepare::write_statistics_pickle(pickle, statistics);
  prepare::write_statistics_npz(npz, statistics);
  report_files(common, {pickle, npz});
  return 0;
}

}  // namespace

void add_dataset(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("dataset", "Training data from views, masks and fits: build, split, check, stats.");
  command->require_subcommand(1);
  auto o = std::make_shared<Flags>();
  auto* b = command->add_subcommand("build", "Views, masks and fits to the training layout.\nExample: layeravatar dataset build scans --source thuman2.0 --body SMPLX_NEUTRAL.npz -o data");
  b->add_option("views", o->build.views, "folder of the scans, each with 18views_3_wbg/{image,calib,seg}")->required();
  b->add_option("-o,--output", o->build.output, "folder of the scenes")->required();
  add_scan_flags(*b, o->scans);
  b->add_flag("--absolute-hands", o->build.absolute_hands, "fits with 45 numbers a hand carry rotations, no mean is added");
  b->add_flag("--force", o->build.replace, "build scenes anew that are there");
  b->add_option("--report", o->build.report, "folder for alignment.json and an overlay of body and pictures per scene");
  b->add_option("--threshold", o->build.threshold, "scenes with a lower silhouette IoU are listed");
  b->add_option("--inside", o->build.inside, "and those with a smaller share of the body inside the pictures' silhouettes");
  b->callback([=, &common, &chosen] { chosen.run = [=, &common] { return build(*o, common); }; });
  auto* s = command->add_subcommand("split", "Scenes of a list to human_train, all others to human_novel.\nExample: layeravatar dataset split data --list dataset_composite.txt --dry-run");
  s->add_option("folder", o->folder, "folder of the scenes")->required();
  s->add_option("--list", o->list, "one id per line")->required();
  s->add_flag("--dry-run", o->dry_run, "only say what would move");
  s->callback([=, &common, &chosen] { chosen.run = [=, &common] { return split(*o, common); }; });
  auto* c = command->add_subcommand("check", "Look through every scene: a table, and a sheet with thumbnails.\nExample: layeravatar dataset check data/human_train -o sheet.html");
  c->add_option("folder", o->folder, "folder of the scenes")->required();
  c->add_option("-o,--output", o->output, "the sheet, one HTML file");
  c->add_option("--views", o->check.views, "views of each scene (0: as the first)");
  c->add_option("--size", o->check.size, "pixels of the pictures (0: as the first)");
  c->add_option("--thumbnails", o->check.thumbnails, "views shown per scene")->check(CLI::Range(0, 64));
  c->callback([=, &common, &chosen] { chosen.run = [=, &common] { return check(*o, common); }; });
  auto* t = command->add_subcommand("stats", "Inception statistics of all pictures, in the release's pickle form and as .npz.\nExample: layeravatar dataset stats data/human_train --inception inception-2015-12-05.pt -o stats");
  t->add_option("folder", o->folder, "folder of the scenes")->required();
  t->add_option("--inception", o->network, "TorchScript network; it is a program: take only one that you trust")->required();
  t->add_option("-o,--output", o->output, "OUTPUT.pkl and OUTPUT.npz")->required();
  t->add_option("--batch", o->batch, "pictures at once")->check(CLI::Range(1, 1024));
  t->callback([=, &common, &chosen] { chosen.run = [=, &common] { return stats(*o, common); }; });
}

}  // namespace layeravatar::app
