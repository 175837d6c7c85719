#include "layeravatar/produce/commands.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <future>
#include <optional>

#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/io/npy.h"
#include "layeravatar/io/ply.h"
#include "layeravatar/io/torch_file.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/produce/film.h"
#include "layeravatar/produce/release_files.h"
#include "layeravatar/produce/sampling.h"
#include "layeravatar/tensor/convert.h"

namespace layeravatar::produce {
namespace {

namespace fs = std::filesystem;

// 3 x 3 symmetric matrices as scales and quaternions; proper rotations.
void write_ply(const fs::path& file, const splat::Gaussians& g) {
  const torch::Tensor keep = (g.opacities > 0.05F).nonzero().squeeze(1);
  const torch::Tensor c = g.covariances.index_select(0, keep).to(torch::kFloat64);
  const auto e = [&](int k) { return c.select(1, k); };
  const torch::Tensor full = torch::stack({e(0), e(1), e(2), e(1), e(3), e(4), e(2), e(4), e(5)}, 1).reshape({-1, 3, 3});
  const auto [values, vectors] = torch::linalg_eigh(full);
  const torch::Tensor sign = torch::linalg_det(vectors).sign().reshape({-1, 1, 1});
  const torch::Tensor r = (vectors * sign).contiguous();
  const auto n = keep.numel();
  std::vector<float> quaternions(static_cast<std::size_t>(4 * n));
  const double* m = r.data_ptr<double>();
  for (std::int64_t i = 0; i < n; ++i, m += 9) {
    // The largest of the four squares first, so that no root is small (Shepperd).
    const double trace = m[0] + m[4] + m[8];
    double q[4];
    int big = 0;
    const double t[4] = {trace, m[0], m[4], m[8]};
    for (int k = 1; k < 4; ++k)
      if (t[k] > t[big]) big = k;
    if (big == 0) q[0] = 1 + trace, q[1] = m[7] - m[5], q[2] = m[2] - m[6], q[3] = m[3] - m[1];
    else if (big == 1) q[0] = m[7] - m[5], q[1] = 1 + 2 * m[0] - trace, q[2] = m[1] + m[3], q[3] = m[2] + m[6];
    else if (big == 2) q[0] = m[2] - m[6], q[1] = m[1] + m[3], q[2] = 1 + 2 * m[4] - trace, q[3] = m[5] + m[7];
    else q[0] = m[3] - m[1], q[1] = m[2] + m[6], q[2] = m[5] + m[7], q[3] = 1 + 2 * m[8] - trace;
    const double norm = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
    for (int k = 0; k < 4; ++k) quaternions[static_cast<std::size_t>(4 * i + k)] = static_cast<float>(q[k] / norm);
  }
  const auto span = [](const torch::Tensor& t) { return std::span<const float>(t.data_ptr<float>(), static_cast<std::size_t>(t.numel())); };
  const torch::Tensor means = g.means.index_select(0, keep).contiguous(), colours = g.colours.index_select(0, keep).clamp(0, 1).contiguous(),
                      opacities = g.opacities.index_select(0, keep).contiguous(), scales = values.clamp_min(0).sqrt().to(torch::kFloat32).contiguous();
  io::write_splat_ply(file, {span(means), span(colours), span(opacities), span(scales), quaternions});
}

io::Image contact_row(const splat::Gaussians& posed, int size) {
  const auto cameras = geometry::turntable_cameras(size);
  std::vector<io::Image> cells;
  for (const std::size_t view : {0UL, 5UL, 18UL, 27UL}) cells.push_back(picture(render_view(posed, cameras[view], false).full));
  const splat::RenderOutputs front = render_view(posed, cameras[0], true);
  for (int c = 0; c < 5; ++c) cells.push_back(picture(front.components[c]));
  return tile(cells, static_cast<int>(cells.size()));
}

struct KeptFile {
  avatar::Avatar avatar;
  int component;
};

std::vector<KeptFile> read_kept(const Studio& studio, const std::vector<std::string>& keep) {
  std::vector<KeptFile> out;
  for (const std::string& text : keep) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) throw Error(ErrorKind::kUsage, fmt::format("keep: '{}', expected FILE:component", text));
    const int component = component_named(text.substr(colon + 1), "keep");
    out.push_back({read_any_avatar(studio, text.substr(0, colon)), component});
  }
  return out;
}

// [count, 12, h, 3h] of finite numbers of any type.
torch::Tensor read_noise(const fs::path& file, std::int64_t count, std::int64_t h) {
  const io::Array noise = io::read_npy(file);
  io::expect_shape(noise, {count, 12, h, 3 * h}, file.string());
  const torch::Tensor out = tensor::to_tensor(noise).to(torch::kFloat32);
  if (!torch::isfinite(out).all().item<bool>()) throw Error(ErrorKind::kInput, file.string() + ": the noise contains non-finite numbers");
  return out;
}

}  // namespace

std::vector<fs::path> generate(const GenerateOptions& o, const Say& say) {
  require_range("count", o.count, 1, 10000);
  require_range("views", o.views, 0, 360);
  if (o.ddpm_variance != "small" && o.ddpm_variance != "large")
    throw Error(ErrorKind::kConfig, fmt::format("ddpm-variance = {}, must be small or large", o.ddpm_variance));
  const Studio studio = open_studio(o.model, o.begun.get());
  const int size = image_size(studio, o.size);
  set_precision(studio, o.precision);
  SamplingOptions sampling = usual_sampling(studio, {.sampler = o.sampler, .spacing = o.spacing, .steps = o.steps, .order = o.order, .eta = o.eta,
                                                           .small_variance = o.ddpm_variance == "small", .progress = {}, .like = o.like, .guidance = o.guidance});
  if (sampling.sampler == "ddpm" && sampling.steps < studio.schedule.size())
    say(fmt::format("ddpm goes from each step to the one before, as the release does: with {} of {} steps the avatars stay noisy", sampling.steps, studio.schedule.size()));
  const auto cameras = o.cameras.empty() ? geometry::turntable_cameras(size, o.views) : read_cameras(o.cameras, size);
  if (o.betas.size() > 10) throw Error(ErrorKind::kConfig, fmt::format("betas: {} numbers, expected up to 10", o.betas.size()));
  for (const float b : o.betas)
    if (!(std::abs(b) <= 5)) throw Error(ErrorKind::kConfig, fmt::format("betas: {}, must be in -5..5", b));
  const torch::Tensor noise = o.noise.empty() ? torch::Tensor() : read_noise(o.noise, o.count, studio.config.planes_height);
  const std::vector<KeptFile> kept = read_kept(studio, o.keep);
  if (!kept.empty()) {
    std::vector<Kept> components;
    for (const KeptFile& one : kept) components.push_back({&one.avatar, one.component});
    sampling.held = hold(studio, components);
  }
  make_folder(o.output);
  std::vector<avatar::Avatar> avatars;
  if (o.noise.empty()) {
    std::vector<std::uint64_t> seeds;
    for (int i = 0; i < o.count; ++i) seeds.push_back(o.seed + static_cast<std::uint64_t>(i));
    avatars = sample_avatars(studio, seeds, sampling);
  } else {
    std::vector<std::string> names(static_cast<std::size_t>(o.count), "noise " + o.noise.filename().string());
    avatars = sample_from_noise(studio, noise, names, sampling);
  }
  std::vector<fs::path> written;
  std::vector<std::shared_future<io::Image>> rows;
  ViewWriter views;
  const std::size_t filmed = o.film && !cameras.empty() ? std::min<std::size_t>(avatars.size(), 4) : 0;
  std::optional<Film> film;
  std::vector<std::vector<ViewWriter::Picture>> turns(cameras.size());  // of the first ones, by view
  for (std::size_t i = 0; i < avatars.size(); ++i) {
    const std::string name = fmt::format("avatar_{:04}", i);
    written.push_back(o.output / (name + ".safetensors"));
    if (!kept.empty()) {
      avatars[i].betas = kept[0].avatar.betas;
      std::string all;
      for (const std::string& text : o.keep) all += (all.empty() ? "" : ",") + text;
      avatars[i].provenance["keep"] = all;
    }
    if (!o.betas.empty()) {
      avatars[i].betas = {};
      std::copy(o.betas.begin(), o.betas.end(), avatars[i].betas.begin());
    }
    std::future<void> saved = std::async(std::launch::async, [&one = avatars[i], file = written.back()] { avatar::write_avatar(file, one); });  // waits for the disk
    const splat::Gaussians posed = pose(studio, decode(studio, avatars[i].planes), avatars[i].betas, body::default_viewing_pose());
    saved.get();
    // Here, not earlier: an encoder that starts beside loops of all threads keeps them waiting.
    if (filmed > 0 && !film) film.emplace(o.output / "turntable.mp4", static_cast<int>(filmed) * size, size, 12, say);
    const std::string release = release_name(static_cast<int>(i));
    if (o.release_names) {
      written.push_back(o.output / (release + ".png"));
      io::write_png(written.back(), release_planes(avatars[i].planes), 6);
      written.push_back(o.output / (release + ".pth"));
      io::write_torch_tensor(written.back(), tensor::to_array(avatars[i].planes));
    } else if (!cameras.empty()) {
      make_folder(o.output / name);
    }
    if (o.panels) {
      written.push_back(o.output / (name + "_panels.png"));
      views.add(written.back(), [posed, size] { return panels(render_view(posed, geometry::turntable_cameras(size)[0], true)); }, 1);
    }
    if (rows.size() < 16) rows.push_back(views.add([posed, size] { return contact_row(posed, std::min(size, 384)); }));
    if (i + 1 == avatars.size())
      views.add(o.output / "contact_sheet.png", [rows] {
        std::vector<io::Image> images;
        for (const auto& row : rows) images.push_back(row.get());
        return tile(images, 1);
      }, 6);
    for (std::size_t v = 0; v < cameras.size(); ++v) {
      const fs::path stem = o.release_names ? o.output / fmt::format("{}_{:03}", release, v) : o.output / name / fmt::format("view_{:03}", v);
      auto view = views.add(stem, [posed] { return posed; }, cameras[v], o.release_names ? ViewFiles::kPanelsAndLabels : ViewFiles::kPicture, o.reference);
      if (i >= filmed) continue;
      turns[v].push_back(std::move(view));
      if (i + 1 == filmed) film->add(std::move(turns[v]));
    }
    if (o.ply) {
      written.push_back(o.output / (name + ".ply"));
      write_ply(written.back(), posed);
    }
    say(fmt::format("{}: {} pictures", written.front().parent_path().string() + "/" + name, cameras.size()));
  }
  written.push_back(o.output / "contact_sheet.png");
  views.finish();
  if (film) film->commit(written);
  return written;
}

std::vector<fs::path> transfer(const TransferOptions& o, const Say& say) {
  require_range("views", o.views, 1, 360);
  const Studio studio = open_studio(o.model);
  const int size = image_size(studio, o.size);
  if (o.base.empty()) throw Error(ErrorKind::kUsage, "transfer needs --base");
  const avatar::Avatar base = read_any_avatar(studio, o.base);
  std::vector<avatar::Avatar> donors(4);
  const fs::path* files[4] = {&o.top, &o.bottom, &o.hair, &o.shoes};
  for (std::size_t i = 0; i < 4; ++i)
    if (!files[i]->empty()) donors[i] = read_any_avatar(studio, *files[i]);
  const auto donor = [&](std::size_t i) { return files[i]->empty() ? nullptr : &donors[i]; };
  const avatar::GaussianAttributes mixed = compose(studio, base, {donor(0), donor(1), donor(2), donor(3)});
  make_folder(o.output);
  const body::PoseParams shown = body::default_viewing_pose();
  const splat::Gaussians before = pose(studio, decode(studio, base.planes), base.betas, shown), after = pose(studio, mixed, base.betas, shown);
  std::vector<fs::path> written;
  const auto around = geometry::turntable_cameras(size, o.views);
  ViewWriter views;
  Film film(o.output / "turntable.mp4", size, size, 12, say);
  if (!o.release_names) make_folder(o.output / "views");
  for (std::size_t v = 0; v < around.size(); ++v) {
    const fs::path stem = o.release_names ? o.output / fmt::format("{:04}", v) : o.output / "views" / fmt::format("view_{:03}", v);
    film.add(views.add(stem, [after] { return after; }, around[v], o.release_names ? ViewFiles::kPanels : ViewFiles::kPicture, o.reference));
  }
  const auto cameras = geometry::turntable_cameras(size);
  // Before and after, then each donor with its component alone.
  std::vector<io::Image> cells;
  for (const std::size_t view : {0UL, 18UL}) {
    cells.push_back(picture(render_view(before, cameras[view], false).full));
    cells.push_back(picture(render_view(after, cameras[view], false).full));
    for (std::size_t i = 0; i < 4; ++i)
      if (donor(i) != nullptr)
        cells.push_back(picture(render_view(pose(studio, decode(studio, donors[i].planes), donors[i].betas, shown), cameras[view], false).full));
  }
  written.push_back(o.output / "swap.png");
  io::write_png(written.back(), tile(cells, static_cast<int>(cells.size()) / 2), 6);
  written.push_back(o.output / "panels.png");
  io::write_png(written.back(), panels(render_view(after, cameras[0], true)), 1);
  views.finish();
  film.commit(written);
  return written;
}

std::vector<fs::path> export_ply(const ExportOptions& o) {
  const Studio studio = open_studio(o.model);
  const avatar::Avatar one = read_any_avatar(studio, o.avatar);
  write_ply(o.output, pose(studio, decode(studio, one.planes), one.betas, body::default_viewing_pose()));
  return {o.output};
}

}  // namespace layeravatar::produce
