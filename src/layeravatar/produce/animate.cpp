#include <fmt/format.h>

#include "layeravatar/core/atomic_folder.h"
#include "layeravatar/core/error.h"
#include "layeravatar/produce/command_parts.h"
#include "layeravatar/produce/film.h"
#include "layeravatar/produce/release_files.h"

namespace layeravatar::produce {

namespace fs = std::filesystem;

std::vector<fs::path> animate(const AnimateOptions& o, const Say& say) {
  if (o.motion.empty()) throw Error(ErrorKind::kConfig, "the motion has no frames");
  require_fps(o.fps);
  const Studio studio = open_studio(o.model);
  const int size = image_size(studio, o.size);
  const FilmCameras cameras(o.camera, o.azimuth, size);
  const avatar::Avatar one = read_any_avatar(studio, o.avatar);
  const deform::PosableAvatar dressed = studio.deformer->bind(decode(studio, one.planes));
  make_folder(o.output);
  std::vector<fs::path> written;
  ViewWriter views;  // ends before what its tasks look at
  Film film(o.output / "animation.mp4", size, size, o.fps, say);
  for (std::size_t f = 0; f < o.motion.size(); ++f) {
    body::PoseParams params = o.motion[f];
    params.betas = one.betas;
    const geometry::Camera camera = geometry::facing(cameras.at(f), o.world_from_motion);
    const std::string name = o.release_names ? fmt::format("{}_{:03}", release_name(0), f) : fmt::format("frame_{:05}", f);
    film.add(views.add(o.output / name, [&dressed, params] { return dressed.pose(params); }, camera, o.release_names ? ViewFiles::kPanelsAndLabels : ViewFiles::kPicture, o.reference));
    if (f == 0) written.push_back(o.output / (name + ".png"));
  }
  views.finish();
  film.commit(written);
  return written;
}

}  // namespace layeravatar::produce
