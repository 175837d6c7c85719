// template: the release's template scripts in one
#include <fmt/format.h>

#include "layeravatar/app/command.h"
#include "layeravatar/body/smplx_file.h"
#include "layeravatar/core/error.h"
#include "layeravatar/templates/official_template.h"
#include "layeravatar/templates/template_folder.h"

namespace layeravatar::app {
namespace {

namespace fs = std::filesystem;

struct Flags {
  fs::path smplx = "lib/models/deformers/smplx/SMPLX", sources = "work_dirs/cache/template", masks, output;
  bool custom = false;
};

/// The neutral model of a folder: in it, or where the archive of the models unpacks it.
fs::path model_file(const fs::path& smplx) {
  if (!fs::is_directory(smplx)) return smplx;
  const fs::path unpacked = smplx / "models/smplx/SMPLX_NEUTRAL.npz";
  return fs::exists(smplx / "SMPLX_NEUTRAL.npz") || !fs::exists(unpacked) ? smplx / "SMPLX_NEUTRAL.npz" : unpacked;
}

void make_template(const Flags& flags, const Common& common) {
  const fs::path model = model_file(flags.smplx);
  const body::SmplxFile body = body::read_smplx(model);
  warn(model.string() + ": ", body.warnings);
  templates::OfficialSizes sizes;
  if (flags.custom)
    sizes = templates::custom_sizes(body.model.vertex_count());
  else if (body.model.vertex_count() != sizes.vertices)
    throw Error(ErrorKind::kInput, fmt::format("{}: expected {} vertices, found {}; --custom accepts any", model.string(),
                                               sizes.vertices, body.model.vertex_count()));
  templates::OfficialPaths paths = templates::official_paths(flags.sources);
  if (!flags.masks.empty()) paths.flame_masks = flags.masks;
  const auto made = templates::build_official_template(body.model, templates::read_official_sources(paths, sizes), sizes);
  warn("", made.warnings);
  const auto& b = made.layers.blocks;
  say(common, fmt::format("{} Gaussians: body {}, hair and shoes {}, bottom {}, top {}; {} dense vertices",
                          made.layers.count(), b[0], b[1], b[2], b[3], made.layers.dense_count()));
  templates::write_template_folder(flags.output, made.layers);
  report_files(common, {flags.output});
}

}  // namespace

void add_template(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("template", "The template arrays of the official model, from SMPL-X, masks and component meshes.\nExample: layeravatar template --smplx SMPLX_NEUTRAL.npz --sources work_dirs/cache/template -o cache");
  auto o = std::make_shared<Flags>();
  command->add_option("--smplx", o->smplx, "SMPL-X model, .npz or .pkl, or the folder with SMPLX_NEUTRAL.npz")->capture_default_str();
  command->add_option("--sources", o->sources, "folder with masks, correspondence and meshes under the release's names")->capture_default_str();
  command->add_option("--flame-masks", o->masks, "FLAME masks from elsewhere: .pkl, .npz of integer arrays or .json of lists");
  command->add_flag("--custom", o->custom, "accept other numbers of vertices and Gaussians than those of the release");
  command->add_option("-o,--output", o->output, "folder of the twelve arrays; must not exist or be empty")->required();
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      make_template(*o, common);
      return 0;
    };
  });
}

}  // namespace layeravatar::app
