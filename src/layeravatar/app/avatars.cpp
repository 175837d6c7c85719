// generate, animate, transfer, export
#include <algorithm>
#include <cmath>

#include "layeravatar/app/command.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/bvh.h"
#include "layeravatar/people/retarget.h"
#include "layeravatar/produce/commands.h"

namespace layeravatar::app {
namespace {

std::function<void(const std::string&)> speaker(const Common& common) {
  return [&common](const std::string& line) { say(common, line); };
}

// "1,-0.5,2"
std::vector<float> numbers_of(const std::string& text, const std::string& name) {
  std::vector<float> out;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    const std::string one = text.substr(from, comma - from);
    float value = 0;
    if (!CLI::detail::lexical_cast(one, value)) throw Error(ErrorKind::kConfig, name + ": '" + one + "' is not a number");
    out.push_back(value);
    from = comma + 1;
  }
  return out;
}

}  // namespace

void add_generate(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("generate", "Sample avatars.\nExample: layeravatar generate --count 4 --seed 7 -o out");
  command->alias("viz");
  auto o = std::make_shared<produce::GenerateOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("-o,--output", o->output, "folder for the results")->required();
  command->add_option("--count", o->count, "number of avatars");
  command->add_option("--seed", o->seed, "avatar i is drawn from seed + i");
  command->add_option("--steps", o->steps, "sampling steps, 1..1000 (0: 25, or 50 with an official pack)");
  command->add_option("--sampler", o->sampler, "ddim or ddpm");
  command->add_option("--precision", o->precision, "of the denoiser: fp32, bf16 or auto (bf16 where the processor has it)");
  command->add_option("--noise", o->noise, "initial noise, .npy [count, 12, h, 3h], instead of the seed");
  command->add_option("--views", o->views, "pictures around each avatar");
  command->add_option("--cameras", o->cameras, "pictures from the cameras of a cam_param .json instead");
  auto betas = std::make_shared<std::string>();
  command->add_option("--betas", *betas, "body shape, up to 10 numbers with commas (default: predicted)");
  command->add_option("--size", o->size, "pixels of the pictures (0: the pack's)");
  command->add_flag("--ply", o->ply, "3DGS point clouds too");
  command->add_flag("--panels,!--no-panels", o->panels, "pictures of the single components");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      o->betas = numbers_of(*betas, "--betas");
      report_files(common, produce::generate(*o, speaker(common)));
      return 0;
    };
  });
}

void add_animate(CLI::App& app, const Common& common, Chosen& chosen) {
  struct Flags {
    produce::AnimateOptions options;
    std::filesystem::path motion;
    std::int64_t frames = 0, start = 0, stride = 4;
  };
  auto* command = app.add_subcommand("animate", "Pose an avatar through a motion.\nExample: layeravatar animate --avatar out/avatar_0000.safetensors --motion walk.bvh -o film");
  auto o = std::make_shared<Flags>();
  command->add_option("--model", o->options.model, "model pack");
  command->add_option("--avatar", o->options.avatar, "avatar file, or a code of the release (.pth)")->required();
  command->add_option("--motion", o->motion, "motion: .bvh with the CMU skeleton")->required();
  command->add_option("-o,--output", o->options.output, "folder for frames and film")->required();
  command->add_option("--frames", o->frames, "frames to make (0: all)")->check(CLI::Range(0, 100000));
  command->add_option("--start", o->start, "first frame of the motion")->check(CLI::Range(0, 10000000));
  command->add_option("--stride", o->stride, "every n-th frame")->check(CLI::Range(1, 10000));
  command->add_option("--camera", o->options.camera, "front, turn, or a cam_param .json whose cameras take turns");
  command->add_option("--fps", o->options.fps, "frames a second of the film");
  command->add_option("--size", o->options.size, "pixels of the pictures (0: the pack's)");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      if (o->motion.extension() != ".bvh")
        throw Error(ErrorKind::kConfig, o->motion.string() + ": motions of this kind are not read yet; .bvh works");
      o->options.model = model_or_default(o->options.model);
      const std::int64_t end = o->frames == 0 ? -1 : o->start + o->frames * o->stride;
      o->options.motion = people::retarget(io::read_bvh(o->motion), o->start, end, o->stride);
      report_files(common, produce::animate(o->options, speaker(common)));
      return 0;
    };
  });
}

void add_transfer(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("transfer", "Compose an avatar from donors.\nExample: layeravatar transfer --base a.safetensors --top b.safetensors -o swapped");
  auto o = std::make_shared<produce::TransferOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--base", o->base, "avatar that is dressed; here and below a file of ours or a code of the release (.pth)")->required();
  command->add_option("--top", o->top, "donor of the top");
  command->add_option("--bottom", o->bottom, "donor of the bottom");
  command->add_option("--hair", o->hair, "donor of the hair");
  command->add_option("--shoes", o->shoes, "donor of the shoes");
  command->add_option("-o,--output", o->output, "folder for the results")->required();
  command->add_option("--views", o->views, "pictures around the avatar");
  command->add_option("--size", o->size, "pixels of the pictures (0: the pack's)");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      report_files(common, produce::transfer(*o, speaker(common)));
      return 0;
    };
  });
}

void add_export(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("export", "Write an avatar in a format of other programs (3DGS .ply).\nExample: layeravatar export out/avatar_0000.safetensors -o avatar.ply");
  auto o = std::make_shared<produce::ExportOptions>();
  command->add_option("file", o->avatar, "avatar file, or a code of the release (.pth)")->required();
  command->add_option("--model", o->model, "model pack");
  command->add_option("-o,--output", o->output, "the .ply file")->required();
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      if (o->output.extension() != ".ply") throw Error(ErrorKind::kConfig, o->output.string() + ": this format is not written yet; .ply works");
      o->model = model_or_default(o->model);
      report_files(common, produce::export_ply(*o));
      return 0;
    };
  });
}

}  // namespace layeravatar::app
