from django.urls import path

from api import views

urlpatterns = [path("orders/<str:order>", views.order)]
