// generate, animate, interpolate, transfer, export
#include <algorithm>
#include <cmath>

#include "layeravatar/app/command.h"
#include "layeravatar/body/motion_file.h"
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

template <class Options>
void add_release_flags(CLI::App& command, Options& options, const std::string& files) {
  auto* names = command.add_flag("--release-names", options.release_names, "pictures under the release's names and in its layout: " + files);
  command.add_flag("--reference", options.reference, "with them its colours too: labels in viridis, components without Gaussians black")->needs(names);
}

template <class Options>
void add_sampler_flags(CLI::App& command, Options& options) {
  command.add_option("--sampler", options.sampler, "ddim, ddpm, dpmpp or unipc (default: unipc; ddim with an official pack or --eta)");
  command.add_option("--steps", options.steps, "sampling steps, 1..1000 (0: 10 of unipc, 15 of dpmpp, 25 of ddim; 50 of ddim with an official pack)");
  command.add_option("--spacing", options.spacing, "where the steps lie: uniform, logsnr or quadratic (default: the sampler's usual one)");
  command.add_option("--order", options.order, "of dpmpp (1, 2) and unipc (1, 2, 3); 1 is ddim (0: the usual one)");
}

// `frames` from `start`, every `stride`-th; 0 for all and for the kind's own stride.
struct MotionFlags {
  std::filesystem::path file, smplx;
  std::int64_t frames = 0, start = 0, stride = 0;
  bool with_translation = false, relative_hands = false;
};

void read_motion(const MotionFlags& flags, produce::AnimateOptions& options, bool choose_fps) {
  const std::string name = flags.file.string();
  if (flags.relative_hands && flags.smplx.empty()) throw Error(ErrorKind::kUsage, "--hands-relative needs --smplx FILE, whose mean hands it adds");
  if (flags.file.extension() == ".bvh") {
    if (flags.with_translation || flags.relative_hands)
      throw Error(ErrorKind::kConfig, name + ": --with-translation and --hands-relative work with .pkl and .npz motions");
    constexpr std::int64_t kStride = 4;
    const std::int64_t stride = flags.stride == 0 ? kStride : flags.stride;
    const std::int64_t end = flags.frames == 0 ? -1 : flags.start + (flags.frames - 1) * stride + 1;
    options.motion = people::retarget(io::read_bvh(flags.file), flags.start, end, stride);
    return;
  }
  if (flags.file.extension() != ".pkl" && flags.file.extension() != ".npz")
    throw Error(ErrorKind::kConfig, name + ": motions of this kind are not read; .bvh, .pkl and .npz work");
  body::HandPca hands;
  if (flags.relative_hands) hands = body::read_hand_pca(flags.smplx);
  body::Motion motion = body::read_motion(
      flags.file, {flags.start, flags.frames, flags.stride, flags.with_translation, flags.relative_hands ? &hands : nullptr});
  warn(name + ": ", motion.warnings);
  options.motion = std::move(motion.frames);
  options.world_from_motion = body::world_from_motion(motion.kind);
  constexpr int kDegreesPerView = 10;
  options.azimuth = kDegreesPerView * body::usual_view(motion.kind);
  if (choose_fps && motion.rate > 0) options.fps = std::min(motion.rate, 240.0);
}

}  // namespace

void add_generate(CLI::App& app, const Common& common, const std::shared_ptr<produce::Opening>& begun, Chosen& chosen) {
  auto* command = app.add_subcommand("generate", "Sample avatars.\nExample: layeravatar generate --count 4 --seed 7 -o out");
  command->alias("viz");
  auto o = std::make_shared<produce::GenerateOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("-o,--output", o->output, "folder for the results")->required();
  command->add_option("--count", o->count, "number of avatars");
  command->add_option("--seed", o->seed, "avatar i is drawn from seed + i");
  add_sampler_flags(*command, *o);
  command->add_option("--eta", o->eta, "noise that ddim adds at each step, 0 (none) to 1");
  command->add_option("--ddpm-variance", o->ddpm_variance, "of ddpm's noise: large (the release's) or small");
  command->add_option("--precision", o->precision, "of the denoiser: fp32, bf16 or auto (bf16 where the processor has it, fp32 with an official pack)");
  command->add_option("--noise", o->noise, "initial noise, .npy [count, 12, h, 3h], instead of the seed");
  command->add_option("--views", o->views, "pictures around each avatar");
  command->add_option("--cameras", o->cameras, "pictures from the cameras of a cam_param .json instead");
  auto like = std::make_shared<std::vector<std::string>>();
  command->add_option("--like", *like, "what all have, name=value,...: top=shirt,bottom=skirt,hair=long,top-colour=red,sex=female; a wrong name or value is answered with those that work")
      ->delimiter(',')->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--guidance", o->guidance, "of --like: above 1 goes farther that way (two passes of the denoiser a step), 0 leaves it out");
  command->add_option("--keep", o->keep, "components of avatars that all have, FILE:top,FILE2:hair: the rest is sampled to go with them")->delimiter(',')->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  auto betas = std::make_shared<std::string>();
  command->add_option("--betas", *betas, "body shape, up to 10 numbers with commas (default: predicted)");
  command->add_option("--size", o->size, "pixels of the pictures (0: the pack's)");
  command->add_flag("--ply", o->ply, "3DGS point clouds too");
  command->add_flag("--panels,!--no-panels", o->panels, "pictures of the single components");
  add_release_flags(*command, *o, "scene_scene_XXXX_VVV.png with full, body, top, hair, shoes and bottom side by side, _seg.png with labels "
                                  "and alphas in grey, scene_scene_XXXX.pth and .png with the planes");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      o->begun = begun;
      o->betas = numbers_of(*betas, "--betas");
      for (const std::string& one : *like) o->like += (o->like.empty() ? "" : ",") + one;
      report_files(common, produce::generate(*o, speaker(common)));
      return 0;
    };
  });
}

void add_animate(CLI::App& app, const Common& common, Chosen& chosen) {
  struct Flags {
    produce::AnimateOptions options;
    MotionFlags motion;
  };
  auto* command = app.add_subcommand("animate", "Pose an avatar through a motion.\nExample: layeravatar animate --avatar out/avatar_0000.safetensors --motion walk.bvh -o film");
  auto o = std::make_shared<Flags>();
  command->add_option("--model", o->options.model, "model pack");
  command->add_option("--avatar", o->options.avatar, "avatar file, or a code of the release (.pth)")->required();
  command->add_option("--motion", o->motion.file, "motion: .bvh with the CMU skeleton, an X-Avatar .pkl or an AMASS .npz (SMPL-X, stageii)")->required();
  command->add_option("-o,--output", o->options.output, "folder for frames and film")->required();
  command->add_option("--frames", o->motion.frames, "frames to make (0: all)")->check(CLI::Range(0, 100000));
  command->add_option("--start", o->motion.start, "first frame of the motion")->check(CLI::Range(0, 10000000));
  command->add_option("--stride", o->motion.stride, "every n-th frame (0: 4 of .bvh, 1 of .pkl, 8 of .npz)")->check(CLI::Range(0, 10000));
  command->add_flag("--with-translation", o->motion.with_translation, "follow the path of a .pkl or .npz, from its first frame shown (default: in place)");
  command->add_flag("--hands-relative", o->motion.relative_hands, "the file's hands are relative to the mean hand of --smplx, which is added");
  command->add_option("--smplx", o->motion.smplx, "SMPL-X model file, .npz or .pkl, for --hands-relative");
  command->add_option("--camera", o->options.camera, "front, turn, or a cam_param .json whose cameras take turns (default: the motion's usual view, still)");
  auto* fps = command->add_option("--fps", o->options.fps, "frames a second of the film (default: as recorded where an .npz tells, else 30)");
  command->add_option("--size", o->options.size, "pixels of the pictures (0: the pack's)");
  add_release_flags(*command, o->options, "scene_scene_0000_FFF.png with full, body, top, hair, shoes and bottom side by side, _seg.png with "
                                          "labels and alphas in grey");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->options.model = model_or_default(o->options.model);
      read_motion(o->motion, o->options, fps->count() == 0);
      report_files(common, produce::animate(o->options, speaker(common)));
      return 0;
    };
  });
}

void add_interpolate(CLI::App& app, const Common& common, Chosen& chosen) {
  auto* command = app.add_subcommand("interpolate",
                                     "Walk from one avatar to another. Between two seeds the noises are mixed and each mixture is sampled; with an avatar file on either side the "
                                     "planes and body shapes are mixed.\nExample: layeravatar interpolate --from 7 --to 8 --frames 24 -o walk");
  auto o = std::make_shared<produce::InterpolateOptions>();
  command->add_option("--model", o->model, "model pack");
  command->add_option("--from", o->from, "avatar file or seed")->required();
  command->add_option("--to", o->to, "avatar file or seed")->required();
  command->add_option("-o,--output", o->output, "folder for frames, strip and film")->required();
  command->add_option("--frames", o->frames, "pictures, both ends among them");
  command->add_flag("--spherical", o->spherical, "along the arc between the noises, or the planes, instead of straight");
  add_sampler_flags(*command, *o);
  command->add_option("--precision", o->precision, "of the denoiser: fp32, bf16 or auto (bf16 where the processor has it, fp32 with an official pack)");
  command->add_option("--camera", o->camera, "front, turn, or a cam_param .json whose cameras take turns (default: straight from the front)");
  command->add_option("--fps", o->fps, "frames a second of the film");
  command->add_option("--size", o->size, "pixels of the pictures (0: the pack's)");
  command->callback([=, &common, &chosen] {
    chosen.run = [=, &common] {
      o->model = model_or_default(o->model);
      report_files(common, produce::interpolate(*o, speaker(common)));
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
  add_release_flags(*command, *o, "0000.png with full, body, top, hair, shoes and bottom side by side");
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
