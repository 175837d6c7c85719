#include "layeravatar/train/edit_avatar.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "layeravatar/avatar/avatar_file.h"
#include "layeravatar/body/smplx_format.h"
#include "layeravatar/core/atomic_file.h"
#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/eval/metrics.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/train/edit_planes.h"

namespace layeravatar::train {
namespace {

namespace fs = std::filesystem;

struct Stopped {};

torch::Tensor tensor_of(const io::Image& image) {
  return torch::from_blob(const_cast<std::uint8_t*>(image.pixels.data()), {image.height, image.width, 3}, torch::kUInt8).permute({2, 0, 1}).to(torch::kFloat32).div(255).contiguous();
}

torch::Tensor draw(const splat::Gaussians& posed, const geometry::Camera& camera) { return produce::render_view(posed, camera, false).full.clamp(0, 1); }

splat::Gaussians posed_as(const produce::Studio& studio, const torch::Tensor& planes, const body::PoseParams& params) {
  return produce::pose(studio, produce::decode(studio, planes), params.betas, params);
}

// Turned about the person's upright axis by degrees.
geometry::Camera turned(const geometry::Camera& camera, double degrees) {
  constexpr double kPi = 3.14159265358979323846;
  const double a = degrees * kPi / 180, c = std::cos(a), s = std::sin(a);
  return geometry::facing(camera, {c, 0, s, 0, 1, 0, -s, 0, c});
}

// A picture's half at a time, so that sheets stay small.
io::Image half(const torch::Tensor& image) { return produce::picture(torch::avg_pool2d(image.unsqueeze(0), 2)[0]); }

std::vector<fs::path> mask_files(const std::vector<fs::path>& masks, const std::vector<fs::path>& images) {
  if (masks.size() == 1 && fs::is_directory(masks[0])) {
    std::vector<fs::path> out;
    for (const fs::path& image : images) out.push_back(masks[0] / (image.stem().string() + ".png"));
    return out;
  }
  if (masks.size() != images.size()) throw Error(ErrorKind::kUsage, fmt::format("--masks: expected {}, as many as pictures, found {}", images.size(), masks.size()));
  return masks;
}

torch::Tensor read_mask(const fs::path& file, int size) {
  const io::Image image = io::read_png(file);
  if (image.width != size || image.height != size)
    throw Error(ErrorKind::kInput, fmt::format("{}: expected {}x{} as its picture, found {}x{}", file.string(), size, size, image.width, image.height));
  torch::Tensor out = torch::empty({size, size}, torch::kBool);
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i < image.pixels.size() / channels; ++i) out.data_ptr<bool>()[i] = image.pixels[channels * i] > 127;
  if (!out.any().item<bool>()) throw Error(ErrorKind::kInput, file.string() + ": the mask is empty; painted is what is white");
  return out;
}

// Where pictures differ by more than 2 of 255, and 2 pixels around it.
torch::Tensor difference_mask(const torch::Tensor& a, const torch::Tensor& b) {
  const torch::Tensor differs = std::get<0>((a - b).abs().max(0)) > 2.0 / 255;
  return torch::max_pool2d(differs.to(torch::kFloat32).unsqueeze(0).unsqueeze(0), 5, 1, 2)[0][0] > 0;
}

// The person's box without the mask.
torch::Tensor around(const torch::Tensor& image, const torch::Tensor& mask) {
  const eval::Box box = eval::box_of((std::get<0>(image.min(0)) < 0.98).to(torch::kUInt8), 4);
  torch::Tensor out = torch::zeros(mask.sizes(), torch::kBool);
  out.slice(0, box.y0, box.y1).slice(1, box.x0, box.x1).fill_(true);
  return out.logical_and(mask.logical_not());
}

std::function<void(int)> progress(const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop) {
  return [=](int step) {
    if (stop != nullptr && *stop) throw Stopped();
    if (step % 25 == 0) say(fmt::format("edit step {}", step));
  };
}

}  // namespace

std::vector<fs::path> edit_avatar(const EditAvatarOptions& o, const std::function<void(const std::string&)>& say, const std::atomic<bool>* stop) try {
  if (o.geometry_only && o.colour_only) throw Error(ErrorKind::kUsage, "--geometry-only and --colour-only: only one of them");
  if (o.steps < 1 || o.steps > 100000) throw Error(ErrorKind::kConfig, fmt::format("steps = {}, must be in 1..100000", o.steps));
  EditOptions edit;
  edit.component = o.component.empty() ? -1 : produce::component_named(o.component, "component");
  edit.geometry = !o.colour_only;
  edit.colour = !o.geometry_only;
  edit.steps = o.steps;
  edit.observe = progress(say, stop);
  const std::vector<fs::path> images = data::picture_files(o.pictures.images);
  if (images.empty()) throw Error(ErrorKind::kUsage, "--images: expected pictures, found 0");
  const std::vector<fs::path> masks = mask_files(o.pictures.masks, images);
  if (o.pictures.cameras.empty() == o.views.empty()) throw Error(ErrorKind::kUsage, "edit needs --cameras or --views");
  if (!o.views.empty() && o.views.size() != images.size())
    throw Error(ErrorKind::kUsage, fmt::format("--views: expected {}, as many as pictures, found {}", images.size(), o.views.size()));
  std::vector<PaintedView> painted;
  std::vector<geometry::Camera> cameras;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const io::Image image = data::read_square_picture(images[i]);
    if (i == 0) {
      if (o.views.empty()) cameras = data::read_picture_cameras(o.pictures.cameras, images, image.width);
      for (const int view : o.views) {
        if (view < 0 || view > 35) throw Error(ErrorKind::kConfig, fmt::format("views = {}, must be in 0..35", view));
        cameras.push_back(geometry::turntable_cameras(image.width)[static_cast<std::size_t>(view)]);
      }
    }
    if (image.width != cameras[0].width)
      throw Error(ErrorKind::kInput, fmt::format("{0}: expected {1}x{1} as {2}, found {3}x{3}", images[i].string(), cameras[0].width, images[0].filename().string(), image.width));
    painted.push_back({tensor_of(image), read_mask(masks[i], image.width), cameras[i]});
  }
  const produce::Studio studio = produce::open_studio(o.model);
  avatar::Avatar one = avatar::read_avatar(o.avatar, studio.config.planes_height);
  body::PoseParams params = o.params.empty() ? body::default_viewing_pose() : body::read_unified_params(o.params);
  params.betas = one.betas;
  make_folder(o.output);
  const torch::Tensor planes = edit_planes(studio, one.planes, params, painted, edit).contiguous();

  const torch::NoGradGuard no_grad;
  const auto before = posed_as(studio, one.planes, params), after = posed_as(studio, planes, params);
  std::vector<fs::path> written = {o.output / "avatar.safetensors", o.output / "sheet.png", o.output / "report.json"};
  one.planes = planes;
  one.provenance["edit"] = fmt::format("{} painted views{}{}{}", painted.size(), o.component.empty() ? "" : ", " + o.component, o.geometry_only ? ", geometry" : "", o.colour_only ? ", colour" : "");
  avatar::write_avatar(written[0], one);
  std::vector<io::Image> cells;
  nlohmann::ordered_json json;
  for (std::size_t v = 0; v < painted.size(); ++v) {
    const torch::Tensor a = draw(before, painted[v].camera), b = draw(after, painted[v].camera);
    const double inside = eval::masked_psnr(b, painted[v].image, painted[v].mask), outside = eval::masked_psnr(b, a, around(a, painted[v].mask));
    json["views"].push_back({{"name", images[v].stem().string()}, {"psnr_inside", inside}, {"psnr_inside_before", eval::masked_psnr(a, painted[v].image, painted[v].mask)}, {"psnr_outside", outside}});
    say(fmt::format("{}: {:.1f} dB inside the mask, {:.1f} dB outside against before", images[v].stem().string(), inside, outside));
    for (const torch::Tensor& cell : {a, painted[v].image, b}) cells.push_back(produce::picture(cell));
    for (const double degrees : {20.0, -20.0, 180.0})
      for (const auto* posed : {&before, &after}) cells.push_back(produce::picture(draw(*posed, turned(painted[v].camera, degrees))));
    for (const auto& [name, image] : {std::pair{"before", a}, std::pair{"after", b}}) {
      written.push_back(o.output / fmt::format("{}_{}.png", name, images[v].stem().string()));
      io::write_png(written.back(), produce::picture(image));
    }
  }
  io::write_png(written[1], produce::tile(cells, 9), 6);
  write_file(written[2], json.dump(1) + "\n");
  return written;
} catch (const Stopped&) {
  return {};
}

std::vector<EditRow> edit_table(const EditTableOptions& o, const std::function<void(const std::string&)>& say) {
  const produce::Studio studio = produce::open_studio(o.model);
  produce::set_precision(studio, "auto");
  const auto cameras = geometry::turntable_cameras(studio.config.image_size);
  std::vector<EditRow> out;
  if (!o.output.empty()) make_folder(o.output);
  enum class Kind { kMark, kSkirt, kSleeve };
  struct Wanted {
    Kind kind;
    const char* name;
    int seed;
    std::vector<std::size_t> painted;  // of the 36 views
    const char *name_of, *word;        // what the avatar wears, where the pack's samples can be asked for it
  };
  const auto avatar_of = [&](const Wanted& wanted) {
    produce::SamplingOptions sampling;
    for (const avatar::VocabularyEntry& e : studio.config.attributes)
      if (e.name == wanted.name_of && std::find(e.words.begin(), e.words.end(), wanted.word) != e.words.end()) sampling.like = e.name + "=" + wanted.word;
    return produce::sample_avatars(studio, {static_cast<std::uint64_t>(wanted.seed)}, sampling)[0];
  };
  for (const Wanted& wanted : {Wanted{Kind::kMark, "mark", o.mark, {0}, "top", "t-shirt"}, Wanted{Kind::kSkirt, "skirt", o.skirt, {0, 18}, "bottom", "skirt"},
                               Wanted{Kind::kSleeve, "sleeve", o.sleeve, {0, 18}, "top", "long-sleeved"}}) {
    const avatar::Avatar one = avatar_of(wanted);
    body::PoseParams params = body::default_viewing_pose();
    params.betas = one.betas;
    const torch::NoGradGuard no_grad;
    avatar::GaussianAttributes attributes = produce::decode(studio, one.planes);
    const splat::Gaussians before = produce::pose(studio, attributes, one.betas, params);
    // The wanted avatar: Gaussians painted or taken away.
    const body::PosedBody posed = body::pose(studio.deformer->body(), params);
    const auto joint = [&](std::size_t j) { return torch::tensor({posed.joints[3 * j], posed.joints[3 * j + 1], posed.joints[3 * j + 2]}, torch::kFloat64).to(torch::kFloat32); };
    const torch::Tensor x = before.means, top = before.components == 1;
    attributes.rgb = attributes.rgb.clone();
    attributes.opacity = attributes.opacity.clone();
    if (wanted.kind == Kind::kMark) {
      constexpr std::size_t kChest = 9;
      constexpr double kRadius = 0.125;
      const torch::Tensor away = x - joint(kChest);
      const torch::Tensor in = top.logical_and(away.slice(1, 0, 2).square().sum(1) < kRadius * kRadius).logical_and(away.select(1, 2) > 0);
      const torch::Tensor now = attributes.rgb.index({in}).mean(0);
      // Red, or yellow on red.
      const bool red = (now[0] - now[1]).item<float>() > 0.25F;
      attributes.rgb.index_put_({in}, torch::tensor({red ? 0.95F : 0.85F, red ? 0.85F : 0.1F, 0.1F}));
    } else if (wanted.kind == Kind::kSkirt) {
      const torch::Tensor in = before.components == 4, rgb = attributes.rgb.index({in}), light = rgb.mean(1, true);
      const bool blue = (rgb.mean(0)[2] - rgb.mean(0)[0]).item<float>() > 0;
      const torch::Tensor colour = blue ? torch::tensor({0.75F, 0.25F, 0.2F}) : torch::tensor({0.15F, 0.3F, 0.75F});
      attributes.rgb.index_put_({in}, (light / light.mean() * colour).clamp(0, 1));
    } else {
      constexpr std::size_t kShoulder = 16, kElbow = 18;
      constexpr double kFrom = 0.03, kThick = 0.1;  // metres along the arm and from its axis
      const torch::Tensor arm = joint(kElbow) - joint(kShoulder), from = x - joint(kShoulder), along = from.matmul(arm / arm.norm());
      const torch::Tensor aside = (from.square().sum(1) - along.square()).clamp_min(0).sqrt();
      attributes.opacity.index_put_({top.logical_and(along > kFrom).logical_and(aside < kThick)}, 0.0F);
    }
    const splat::Gaussians truth = produce::pose(studio, attributes, one.betas, params);
    EditOptions edit;
    edit.steps = o.steps;
    edit.component = wanted.kind == Kind::kSkirt ? 4 : 1;
    (wanted.kind == Kind::kSleeve ? edit.colour : edit.geometry) = false;
    edit.observe = progress(say, nullptr);
    std::vector<PaintedView> painted;
    for (const std::size_t v : wanted.painted) {
      const torch::Tensor image = draw(truth, cameras[v]);
      painted.push_back({image, difference_mask(image, draw(before, cameras[v])), cameras[v]});
    }
    torch::Tensor planes;
    {
      const torch::AutoGradMode with_gradients(true);
      planes = edit_planes(studio, one.planes, params, painted, edit);
    }
    const splat::Gaussians after = posed_as(studio, planes, params);
    EditRow row{.edit = wanted.name};
    std::vector<io::Image> cells;
    const auto count = static_cast<double>(painted.size());
    for (const PaintedView& view : painted) {
      const torch::Tensor a = draw(before, view.camera), b = draw(after, view.camera);
      row.inside += eval::masked_psnr(b, view.image, view.mask) / count;
      row.inside_before += eval::masked_psnr(a, view.image, view.mask) / count;
      row.outside += eval::masked_psnr(b, a, around(a, view.mask)) / count;
      if (&view == &painted[0])
        for (const torch::Tensor& cell : {a, view.image, b}) cells.push_back(half(cell));
      for (const double degrees : {20.0, -20.0}) {
        const geometry::Camera camera = turned(view.camera, degrees);
        const torch::Tensor was = draw(before, camera), is = draw(after, camera), want = draw(truth, camera), mask = difference_mask(want, was);
        row.beside += eval::masked_psnr(is, want, mask) / (2 * count);
        row.beside_before += eval::masked_psnr(was, want, mask) / (2 * count);
        row.outside_beside += eval::masked_psnr(is, was, around(was, mask)) / (2 * count);
        if (&view == &painted[0])
          for (const torch::Tensor& cell : {want, is}) cells.push_back(half(cell));
      }
    }
    const geometry::Camera& behind = cameras[painted.size() == 1 ? 18 : 27];  // the sleeve is the left one
    const torch::Tensor was = draw(before, behind), is = draw(after, behind), want = draw(truth, behind);
    row.behind = eval::masked_psnr(is, was, around(was, difference_mask(want, was)));
    for (const torch::Tensor& cell : {was, is}) cells.push_back(half(cell));
    if (!o.output.empty()) io::write_png(o.output / (std::string(wanted.name) + ".png"), produce::tile(cells, static_cast<int>(cells.size())), 9);
    say(fmt::format("{}: inside {:.1f} dB (before {:.1f}), beside {:.1f} dB (before {:.1f}), outside {:.1f}, beside outside {:.1f}, behind {:.1f} dB", row.edit, row.inside, row.inside_before,
                    row.beside, row.beside_before, row.outside, row.outside_beside, row.behind));
    out.push_back(row);
  }
  return out;
}

}  // namespace layeravatar::train
