// import: the release's checkpoints and codes as packs and avatars
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "layeravatar/app/command.h"
#include "layeravatar/produce/import_file.h"

namespace layeravatar::app {
namespace {

constexpr std::size_t kShown = 3;  // keys of a group in the printed report; --json has all

std::string counted(const std::string& what, const std::vector<std::string>& keys) {
  std::string out = fmt::format("{}: {} ({}", what, keys.size(), keys[0]);
  for (std::size_t i = 1; i < keys.size() && i < kShown; ++i) out += ", " + keys[i];
  return printable(out) + (keys.size() > kShown ? ", ...)" : ")");
}

void report_import(const Common& common, const produce::ImportResult& result) {
  const avatar::ImportReport& r = result.report;
  warn("", r.warnings);
  if (common.json) {
    const nlohmann::json out = {{"files", {result.output.string()}}, {"kind", result.kind},  {"planes", result.planes}, {"used", r.used},
                                {"ignored", r.ignored},              {"missing", r.missing}, {"notes", r.notes},        {"warnings", r.warnings}};
    std::puts(out.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
    return;
  }
  for (const std::string& line : r.notes) say(common, line);
  for (const auto& [what, keys] : r.used) say(common, "used " + counted(what, keys));
  for (const auto& [why, keys] : r.ignored) say(common, "ignored " + counted(why, keys));
  if (!r.missing.empty()) say(common, counted("missing", r.missing));
  say(common, fmt::format("{} with planes {} x {} x {}", result.kind, result.planes[0], result.planes[1], result.planes[2]));
  report_files(common, {result.output});
}

}  // namespace

void add_import(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("import",
      "A checkpoint of the public release as a model pack, or a latent code (bare tensor, save_scene dictionary, training cache) as an avatar. "
      "Says which keys were used, ignored and missing. Nothing that a file holds is executed.\n"
      "Example: layeravatar import iter_200000.pth --templates work_dirs/cache -o official.safetensors\n"
      "Example: layeravatar import demo/transfer/scene_0026.pth -o scene_0026.safetensors");
  auto o = std::make_shared<produce::ImportOptions>();
  command->add_option("file", o->file, "checkpoint or code: .pth, .pt or .pkl")->required();
  command->add_option("-o,--output", o->output, "the .safetensors file (default: the file's name, in the working folder)");
  command->add_option("--templates", o->templates, "folder of the twelve template arrays (see 'template'), instead of those that the checkpoint carries");
  command->add_option("--smplx", o->smplx, "SMPL-X model, .npz or .pkl, instead of the body that the checkpoint carries");
  command->add_option("--model", o->model, "pack with the statistics for a code before its activation (training caches)");
  command->add_option("--planes-height", o->planes_height, "rows of the planes (0: as the checkpoint says, else 128)");
  command->add_option("--image-size", o->image_size, "pixels of shown pictures (0: as the checkpoint says, else 1024)");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      report_import(common, produce::import_file(*o));
      return 0;
    };
  });
}

}  // namespace layeravatar::app
